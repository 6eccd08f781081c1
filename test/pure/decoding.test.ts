/** In which order a sequence's passes are submitted and its tokens read: by a runner that notes what is asked of it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { chooseMethod } from '../../engine/decoding.ts';
import { createPace } from '../../engine/pace.ts';
import type { Runner } from '../../engine/runner.ts';
import { completeSampling, type Sampling } from '../../engine/sampler.ts';
import { type Constraint, createSteering } from '../../engine/steering.ts';

const test = suite('decoding');

const VOCAB = 64;
const FIRST = 10; // position of the first token

/** Writes down, in short, what happens; the tokens of this GPU are 1, 2, 3, ... without an end. */
function createLog() {
  const log: string[] = [];
  let id = 0;
  const runner = {
    model: { config: { vocab: VOCAB } },
    prepare: async () => {},
    setSampler: () => {},
    setEdits: () => log.push('edits'),
    place: () => {},
    submit: async ({ kind }: { kind: string }) => void log.push(kind),
    submitBurst: async (_: unknown, passes: number) => void log.push(`${passes} decodes`),
    chosen: async (_ticket: number, _dueMs: number, tokens = 1) => {
      log.push('read');
      return { ids: Array.from({ length: tokens }, () => ++id), waited: false }; // the pace stays as it is
    },
    outcome: async () => {
      log.push('read');
      id++;
      // one token that is all but certain, so that the CPU needs no more than the list
      return {
        id,
        candidates: { ids: Uint32Array.of(id), logits: Float32Array.of(100), best: 100, temperedSum: 1 },
        waited: false,
      };
    },
  } as unknown as Runner;
  /** Allows all, and never ends. */
  const endless: Constraint = {
    mask: () => {
      log.push('mask');
      return new Uint32Array(VOCAB / 32).fill(0xffffffff);
    },
    accept: (id) => log.push(`accept ${id}`),
    done: false,
  };
  return { log, runner, endless };
}

async function decode(
  sampling: Sampling,
  constrained: boolean,
  wanted: number,
  maxTokens = Number.POSITIVE_INFINITY,
  pace = createPace(),
) {
  const { log, runner, endless } = createLog();
  const facts = { vocab: VOCAB, isControl: () => false, text: () => '' };
  const steering = createSteering({}, constrained ? endless : undefined, [1], facts);
  const complete = completeSampling(sampling);
  const method = chooseMethod({ runner, sampling: complete, steering, pace, logprobs: undefined });
  await method.prepare([1], 1);
  const ids: number[] = [];
  for await (const { id } of method.tokens(FIRST, maxTokens)) {
    log.push(`token ${id}`);
    ids.push(id);
    if (ids.length === wanted) break;
  }
  return { log, ids };
}

test('behind a mask the next pass is on its way before the token is read, and its mask is made meanwhile', async () => {
  const { log, ids } = await decode({ temperature: 0 }, true, 3);
  const turn = (id: number) => ['mask', 'edits', 'choice', 'decode', 'read', `accept ${id}`, `token ${id}`];
  assert.equal(log, [...turn(1), ...turn(2), ...turn(3)]);
  assert.equal(ids, [1, 2, 3]);
});

test('behind the last token that is wanted no pass is made', async () => {
  const { log } = await decode({ temperature: 0 }, true, 2, 2);
  assert.is(log.filter((what) => what === 'decode').length, 1);
  assert.equal(log.slice(-4), ['choice', 'read', 'accept 2', 'token 2']);
});

test('without a mask several passes are on their way, but for the first token, which nothing delays', async () => {
  const { log } = await decode({ temperature: 0 }, false, 2);
  const next = new Array(3).fill('decode'); // the prompt's last pass has made the first token
  assert.equal(log, ['decode', 'read', 'token 1', ...next, 'read', 'token 2']);
});

test('fast tokens are made in bursts that grow with what is on its way', async () => {
  const pace = createPace();
  for (let ms = 0; ms <= 40; ms += 2) pace.arrived(ms);
  const { log, ids } = await decode({ temperature: 0 }, false, 24, 24, pace);
  assert.equal(
    ids,
    Array.from({ length: 24 }, (_, i) => i + 1),
  );
  const passes = log.filter((what) => what.includes('decode')).map((what) => Number.parseInt(what, 10) || 1);
  assert.equal(passes, [1, 1, 2, 3, 5, 6, 5]);
});

test('of a long text more bursts are on their way, but never more than a quarter of it', async () => {
  const pace = createPace();
  for (let ms = 0; ms <= 40; ms += 2) pace.arrived(ms);
  const { log } = await decode({ temperature: 0 }, false, 400, 400, pace);
  let submitted = 1; // by the prompt's last pass
  let read = 0;
  let most = 0;
  for (const what of log) {
    if (what.includes('decode')) submitted += Number.parseInt(what, 10) || 1;
    if (what.startsWith('token')) read++;
    if (what !== 'read') continue;
    most = Math.max(most, submitted - read);
    assert.ok(submitted - read <= Math.max(18, submitted / 4), `${submitted - read} of ${submitted}`);
  }
  assert.is(most, 48);
});

test('where the CPU chooses, the token must be known before the next pass', async () => {
  const { log } = await decode({ temperature: 1, topK: 0, topP: 0.5, seed: 1 }, true, 2);
  const turn = (id: number) => ['mask', 'edits', 'choice', 'read', `accept ${id}`, `token ${id}`];
  assert.equal(log, [...turn(1), 'decode', ...turn(2)]);
});

test.run();
