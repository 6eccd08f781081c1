/** What the sampling flags of the command line mean for the engine: each sets what it is named after, and nothing else. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readArguments } from '../../bin/arguments.ts';
import { SAMPLING_FLAGS, samplingOptions } from '../../bin/sampling.ts';
import type { TextOptions } from '../../engine/generate-text.ts';
import { expectError } from './expect-error.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('sampling flags');
const writeFolder = temporaryFolder(test);

function optionsOf(...args: string[]): Promise<TextOptions> {
  const command = { operands: [], about: [], flags: SAMPLING_FLAGS, run: async () => {} };
  return samplingOptions(readArguments(command, args).values);
}

const GIVEN: Readonly<
  Record<
    Exclude<keyof typeof SAMPLING_FLAGS, 'json-schema' | 'grammar'>,
    readonly [args: string[], Partial<TextOptions>]
  >
> = {
  temp: [['--temp', '0.3'], { temperature: 0.3 }],
  'top-k': [['--top-k', '7'], { topK: 7 }],
  'top-p': [['--top-p', '0.5'], { topP: 0.5 }],
  'min-p': [['--min-p', '0.1'], { minP: 0.1 }],
  typical: [['--typical', '0.9'], { typicalP: 0.9 }],
  'repeat-penalty': [['--repeat-penalty', '1.2'], { repetitionPenalty: 1.2 }],
  'presence-penalty': [['--presence-penalty=-0.5'], { presencePenalty: -0.5 }],
  'frequency-penalty': [['--frequency-penalty', '0.5'], { frequencyPenalty: 0.5 }],
  'penalty-tokens': [['--penalty-tokens', '64'], { penaltyTokens: 64 }],
  dry: [['--dry', '0.8'], { dryMultiplier: 0.8 }],
  'dry-base': [['--dry-base', '2'], { dryBase: 2 }],
  'dry-length': [['--dry-length', '3'], { dryAllowedLength: 3 }],
  'logit-bias': [
    ['--logit-bias', '5=-1.5', '--logit-bias', '7=false', '--logit-bias', '9=+2'],
    {
      logitBias: new Map([
        [5, -1.5],
        [7, Number.NEGATIVE_INFINITY],
        [9, 2],
      ]),
    },
  ],
  stop: [['--stop', 'END', '--stop', '\\n\\tx'], { stop: ['END', '\n\tx'] }],
  'ignore-eos': [['--ignore-eos'], { ignoreEos: true }],
  seed: [['--seed', '42'], { seed: 42 }],
};

for (const [flag, [args, wanted]] of Object.entries(GIVEN))
  test(`--${flag}`, async () => {
    const options = await optionsOf(...args);
    assert.equal(Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)), wanted);
  });

test('--json-schema takes a file or the schema itself, --grammar a file; both at once are refused', async () => {
  const folder = await writeFolder(
    'grammars',
    new Map([
      ['schema.json', '{"type":"integer"}'],
      ['broken.json', '{"type":'],
      ['list.gbnf', 'root ::= "a"+'],
      ['broken.gbnf', 'root ::= other'],
    ]),
  );
  assert.is((await optionsOf('--json-schema', `${folder}/schema.json`)).grammar?.root, 'root');
  assert.ok((await optionsOf('--json-schema', '{"type":"string"}')).grammar?.rules.has('root'));
  assert.equal([...(await optionsOf('--grammar', `${folder}/list.gbnf`)).grammar!.rules.keys()], ['root']);
  await expectError(
    () => optionsOf('--json-schema', `${folder}/broken.json`),
    'bad-argument',
    /--json-schema is no JSON/,
  );
  await expectError(
    () => optionsOf('--json-schema', `${folder}/none`),
    'bad-argument',
    /--json-schema: .*none cannot be read/,
  );
  await expectError(() => optionsOf('--grammar', `${folder}/broken.gbnf`), 'bad-argument', /calls the rule "other"/);
  const usage = async (...args: string[]) =>
    optionsOf(...args).then(
      () => '',
      (error: Error) => error.message,
    );
  assert.match(await usage('--grammar', 'x', '--json-schema', '{}'), /only one of them/);
  assert.match(await usage('--logit-bias', '5'), /it must be ID=NUMBER or ID=false/);
});

test.run();
