/**
 * Every architecture on the CPU: the reference gives the logits that transformers computed for the miniature models, from
 * Hugging Face's files, from GGUF files made of the same weights, and from these converted back; and it would not if it left any feature out.
 */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writeHuggingFace } from '../../engine/convert.ts';
import { createReference, referenceLogits } from '../../engine/reference.ts';
import { ARCHITECTURES } from '../../loaders/architectures.ts';
import { openCheckpoint, openGgufSource } from '../../loaders/checkpoint.ts';
import { memorySource } from '../../loaders/source.ts';
import type { Checkpoint, LlamaConfig } from '../../loaders/types.ts';
import {
  FIXTURES,
  type FixtureRun,
  fixturePath,
  fixtureRuns,
  largestDifference,
  readWeights,
} from '../fixture-models.ts';
import { ggufFile } from '../random-model.ts';
import { expectError } from './expect-error.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('architectures');
const writeFolder = temporaryFolder(test);

/** transformers computes in f32; its own ways of doing so differ by up to 1.5e-5 on these models. */
const TOLERANCE = 5e-5;
/** What tests of whole models allow; a feature left out must show far above it. */
const EXACT = 1e-3;

/** The largest difference of the reference's logits from the expected ones, over all runs. */
async function worstError(checkpoint: Checkpoint, runs: readonly FixtureRun[]): Promise<number> {
  let worst = 0;
  for (const { promptIds, context, rows } of runs) {
    const reference = await createReference(checkpoint, { context });
    for (const [i, id] of promptIds.entries()) worst = Math.max(worst, largestDifference(reference.next(id), rows[i]!));
  }
  return worst;
}

async function withFixture(name: string, work: (checkpoint: Checkpoint, runs: readonly FixtureRun[]) => Promise<void>) {
  const checkpoint = await openCheckpoint(fixturePath(name));
  try {
    await work(checkpoint, fixtureRuns(name));
  } finally {
    await checkpoint.close();
  }
}

for (const name of FIXTURES) {
  test(`${name}: the reference gives the logits of transformers`, () =>
    withFixture(name, async (checkpoint, runs) => {
      const error = await worstError(checkpoint, runs);
      assert.ok(error < TOLERANCE, `a logit is off by ${error}`);
      const [{ promptIds, context }] = runs as [FixtureRun];
      const reference = await createReference(checkpoint, { context });
      const oneByOne = promptIds.map((id) => reference.next(id));
      assert.equal(
        await referenceLogits(checkpoint, promptIds, { context }),
        oneByOne,
        'layer by layer they are the same',
      );
    }));

  test(`${name}: a GGUF file of it gives the same`, () =>
    withFixture(name, async (checkpoint, runs) => {
      // dynamic RoPE has no place in GGUF
      if (checkpoint.config.ropeScaling.kind === 'dynamic') return;
      const file = ggufFile(checkpoint.config, await readWeights(checkpoint));
      const gguf = await openGgufSource(memorySource(`${name}.gguf`, file));
      const error = await worstError(gguf, runs);
      assert.ok(error < 2 * TOLERANCE, `a logit is off by ${error}`);
      const folder = join(await writeFolder(name, new Map()), 'hf');
      const back = () => writeHuggingFace(gguf, folder, 'f32');
      // Llama 3's numbers are found again only where they are those of its models
      if (gguf.config.ropeScaling.kind === 'factors') return expectError(back, 'unsupported-model', /RoPE factors/);
      await back();
      const converted = await openCheckpoint(folder);
      assert.ok((await worstError(converted, runs)) < 2 * TOLERANCE, 'and so does what it is converted to');
      await converted.close();
    }));
}

test('every architecture of the table has a miniature model', async () => {
  const seen = new Set<string>();
  for (const name of FIXTURES) await withFixture(name, async ({ config }) => void seen.add(config.architecture));
  assert.equal([...seen].sort(), ARCHITECTURES.map(({ name }) => name).sort());
});

type Change = (config: LlamaConfig) => Partial<LlamaConfig>;
const NO_WINDOW: Change = () => ({ slidingWindow: undefined, slidingLayers: undefined });
const NO_SCALING: Change = () => ({ ropeScaling: { kind: 'none' } });
const NO_MAGNITUDE: Change = ({ ropeScaling }) => ({ ropeScaling: { ...ropeScaling, attentionFactor: 1 } as never });
const OTHER_PAIRS: Change = () => ({ ropePairs: 'interleaved' });
const SILU: Change = () => ({ activation: 'silu' });
const PLAIN_GAIN: Change = () => ({ normOffset: 0 });
const NO_HEAD_NORM: Change = () => ({ qkNorm: 'none' });
const NO_POST_NORMS: Change = () => ({ norms: 'before' });

/** What each model is there for, and how a reader or kernel that knew nothing of it would compute. */
const LEFT_OUT: Readonly<Record<string, Readonly<Record<string, Change>>>> = {
  llama3: { scaling: NO_SCALING, pairs: OTHER_PAIRS },
  'llama-linear': { scaling: NO_SCALING },
  'llama-dynamic': { scaling: NO_SCALING },
  mistral: {
    window: NO_WINDOW,
    'a window of one more': ({ slidingWindow }) => ({ slidingWindow: slidingWindow! + 1 }),
  },
  'qwen2-yarn': { scaling: NO_SCALING, magnitude: NO_MAGNITUDE },
  qwen3: {
    'norms of heads': NO_HEAD_NORM,
    window: NO_WINDOW,
    'a window everywhere': () => ({ slidingLayers: undefined }),
  },
  phi3: {
    scaling: NO_SCALING,
    magnitude: NO_MAGNITUDE,
    window: NO_WINDOW,
    'the part that turns': ({ headDim, ropeScaling }) => ({
      ropeDim: headDim,
      ropeScaling: {
        ...ropeScaling,
        shortFactors: new Float32Array(8).fill(1),
        longFactors: new Float32Array(8).fill(1),
      } as never,
    }),
  },
  gemma: { gelu: SILU, 'gains of 1 + w': PLAIN_GAIN, 'scaled embedding': () => ({ embeddingScale: 1 }) },
  gemma2: {
    gelu: SILU,
    'scaled embedding': () => ({ embeddingScale: 1 }),
    'scale of attention': () => ({ attentionScale: undefined }),
    'gains of 1 + w': PLAIN_GAIN,
    'norms of outputs': NO_POST_NORMS,
    'cap of attention': () => ({ attentionCap: undefined }),
    'cap of logits': () => ({ logitCap: undefined }),
    window: NO_WINDOW,
    'a window everywhere': () => ({ slidingLayers: undefined }),
  },
  gemma3: {
    gelu: SILU,
    'scaled embedding': () => ({ embeddingScale: 1 }),
    'scale of attention': () => ({ attentionScale: undefined }),
    'norms of heads': NO_HEAD_NORM,
    'norms of outputs': NO_POST_NORMS,
    'local RoPE': () => ({ localRopeTheta: undefined }),
    scaling: NO_SCALING,
    window: NO_WINDOW,
    'a window everywhere': () => ({ slidingLayers: undefined }),
  },
  olmo2: { 'norms of q and k': NO_HEAD_NORM },
  olmo3: {
    'local RoPE': () => ({ localRopeTheta: undefined }),
    scaling: NO_SCALING,
    magnitude: NO_MAGNITUDE,
    window: NO_WINDOW,
  },
  smollm3: { 'layers without RoPE': () => ({ ropeLayers: undefined }) },
};

for (const [name, changes] of Object.entries(LEFT_OUT)) {
  for (const [feature, change] of Object.entries(changes)) {
    test(`${name}: without ${feature} the logits would be wrong`, () =>
      withFixture(name, async (checkpoint, runs) => {
        const config = { ...checkpoint.config, ...change(checkpoint.config) };
        const error = await worstError({ ...checkpoint, config }, runs);
        assert.ok(error > 20 * EXACT, `it changes them by ${error} only`);
      }));
  }
}

test.run();
