/** Continuous batching: whoever else is served, everybody gets what they would get alone. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { type Batch, type BatchOptions, createBatch } from '../../engine/batch.ts';
import type { TokenSource } from '../../engine/generate-text.ts';
import { type LoadOptions, loadModel, type Model } from '../../engine/model.ts';
import { createReference } from '../../engine/reference.ts';
import type { BatchStats, BatchTokenOptions } from '../../engine/sequence.ts';
import { createSession, type GeneratedToken, type GenerateOptions, type TokenOptions } from '../../engine/session.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { FirstlightError } from '../../quant/errors.ts';
import { deviceTests } from '../device.ts';
import { createRandom, relativeError } from '../kernel.ts';
import { expectError } from '../pure/expect-error.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('batch');
const check = await deviceTests(test);

const GREEDY: GenerateOptions = { temperature: 0 };

async function withModel(
  device: Device,
  work: (model: Model) => Promise<void>,
  { config = SMALL_LLAMA, ...options }: LoadOptions & { readonly config?: LlamaConfig } = {},
) {
  const checkpoint = await openFolder(memoryFolder(safetensorsFolder(config, randomWeights(config))));
  const model = await loadModel(device, checkpoint, { context: 96, ...options });
  try {
    await work(model);
  } finally {
    await model.close();
    await checkpoint.close();
  }
}

async function withBatch(model: Model, options: BatchOptions, work: (batch: Batch) => Promise<void>) {
  const batch = await createBatch(model, options);
  try {
    await work(batch);
  } finally {
    await batch.close();
  }
}

async function collect(source: { generate: Batch['generate'] }, ids: readonly number[], options: BatchTokenOptions) {
  const got: number[] = [];
  for await (const id of source.generate(ids, options)) got.push(id);
  return got;
}

/** What each request gets in a session of its own. */
async function alone(model: Model, requests: readonly Request[]): Promise<number[][]> {
  const session = await createSession(model);
  const results: number[][] = [];
  for (const { ids, options } of requests) {
    session.rewind(0);
    results.push(await collect(session, ids, options));
  }
  await session.close();
  return results;
}

interface Request {
  readonly ids: readonly number[];
  readonly options: GenerateOptions;
}

const random = createRandom(7);
const randomIds = (count: number) => Array.from({ length: count }, () => random.below(SMALL_LLAMA.vocab));

check('twenty requests in four slots, sampled in every way, each get what they get alone', async (device) => {
  const samplings: readonly GenerateOptions[] = [
    GREEDY,
    { temperature: 1, topK: 8, seed: 5 },
    { temperature: 1.5, topK: 0, topP: 1, seed: 6 }, // noise
    { temperature: 1, topK: 80, seed: 7 }, // on the CPU
    { temperature: 0.9, typicalP: 0.5, seed: 9 }, // on the CPU, now and then from all logits
    { ...GREEDY, logitBias: new Map([[7, 3]]) },
    { temperature: 1, seed: 8, repetitionPenalty: 1.4, frequencyPenalty: 0.5 },
  ];
  const requests = Array.from({ length: 20 }, (_, i): Request => {
    const options = { ...samplings[i % samplings.length], maxTokens: 1 + ((i * 5) % 17) };
    return { ids: randomIds(1 + ((i * 13) % 43)), options };
  });
  await withModel(device, async (model) => {
    const wanted = await alone(model, requests);
    await withBatch(model, { slots: 4, chunk: 8 }, async (batch) => {
      const got = await Promise.all(requests.map(({ ids, options }) => collect(batch, ids, options)));
      assert.equal(got, wanted);
      const { running, queued, passes, tokens } = batch.status;
      assert.equal([running, queued, tokens], [0, 0, wanted.flat().length]);
      assert.ok(passes < tokens, `${passes} passes for ${tokens} tokens: they were made together`);
    });
  });
});

check('log probabilities and finishes are those of a session', async (device) => {
  const requests: readonly TokenOptions[] = [
    { ...GREEDY, maxTokens: 5, logprobs: 3 },
    { ...GREEDY, maxTokens: 5 },
    { temperature: 1, seed: 3, maxTokens: 4, logprobs: 0, presencePenalty: 1 },
    { temperature: 1, topK: 90, seed: 3, maxTokens: 4, logprobs: 2 },
    { ...GREEDY, maxTokens: 500 },
  ];
  const all = async (source: TokenSource, options: TokenOptions) => {
    const got: GeneratedToken[] = [];
    for await (const token of source.tokens([1, 2, 3], options)) got.push(token);
    return got;
  };
  await withModel(device, async (model) => {
    const session = await createSession(model);
    const wanted: GeneratedToken[][] = [];
    for (const options of requests) wanted.push(await all(session, options));
    await session.close();
    assert.is(wanted.at(-1)?.at(-1)?.finish, 'context');
    await withBatch(model, { slots: 3 }, async (batch) => {
      assert.equal(await Promise.all(requests.map((options) => all(batch, options))), wanted);
      const stop = wanted[1]?.[2]?.id as number;
      const stopped = await all(batch, { ...GREEDY, stopIds: new Set([stop]) });
      assert.equal([stopped.at(-1)?.id, stopped.at(-1)?.finish], [stop, 'stop']);
    });
  });
});

check('long answers beside short ones, where attention is split', async (device) => {
  const config = { ...SMALL_LLAMA, context: 256 };
  const work = async (model: Model) => {
    const requests = [124, 3, 126, 150].map((length): Request => {
      return { ids: randomIds(length), options: { ...GREEDY, maxTokens: 9 } };
    });
    const wanted = await alone(model, requests);
    await withBatch(model, { slots: 4 }, async (batch) => {
      const got = await Promise.all(requests.map(({ ids, options }) => collect(batch, ids, options)));
      assert.equal(got, wanted);
    });
  };
  await withModel(device, work, { config, context: 160, splits: 4 });
});

check(
  'kernels of a GPU, int8: log probabilities are the same to the last bit, however many there are',
  async (device) => {
    // several columns at once, lanes of a subgroup along a row, attention in parts
    const asGpu: Device = { ...device, traits: { ...device.traits, software: false } };
    const config = {
      ...SMALL_LLAMA,
      hidden: 256,
      feedForward: 512,
      heads: 8,
      kvHeads: 4,
      headDim: 32,
      ropeDim: 32,
      context: 256,
    };
    const work = async (model: Model) => {
      const requests = [70, 3, 130, 40, 9].map((length) => randomIds(length));
      const tokens = async (source: TokenSource, ids: readonly number[]) => {
        const got: GeneratedToken[] = [];
        for await (const token of source.tokens(ids, { ...GREEDY, maxTokens: 8, logprobs: 5 })) got.push(token);
        return got;
      };
      await withBatch(model, { slots: 5, chunk: 16 }, async (batch) => {
        const wanted: GeneratedToken[][] = [];
        for (const ids of requests) wanted.push(await tokens(batch, ids));
        assert.equal(await Promise.all(requests.map((ids) => tokens(batch, ids))), wanted, 'five');
        assert.equal(
          await Promise.all(requests.slice(0, 2).map((ids) => tokens(batch, ids))),
          wanted.slice(0, 2),
          'two',
        );
        // prompts that are read in the same pieces
        const session = await createSession(model, { chunk: 16 });
        for (const [i, ids] of requests.entries()) {
          session.rewind(0);
          assert.equal(await tokens(session, ids), wanted[i], `${ids.length} ids in a session`);
        }
        await session.close();
      });
    };
    // CPU drivers would compile these kernels for half a minute
    const wanted = !device.traits.software || process.env.FIRSTLIGHT_TEST_LONG === '1';
    if (device.traits.subgroups && wanted)
      await withModel(asGpu, work, { config, context: 160, splits: 4, merged: false, weights: 'q4' });
  },
);

check('a dozen sequences by the kernels of prompts: the same greedy ids', async (device) => {
  const requests = Array.from({ length: 14 }, (_, i): Request => {
    return { ids: randomIds(1 + ((i * 5) % 12)), options: { ...GREEDY, maxTokens: 10 } };
  });
  const work = async (model: Model) => {
    const wanted = await alone(model, requests);
    await withBatch(model, { slots: 14, fastBatch: true }, async (batch) => {
      assert.equal(await Promise.all(requests.map(({ ids, options }) => collect(batch, ids, options))), wanted);
    });
  };
  await withModel(device, work, { many: 'tiles' });
});

check('a beginning that another slot holds, or is about to, is copied and not computed again', async (device) => {
  const shared = randomIds(40);
  const requests = Array.from({ length: 4 }, (_, i): Request => {
    return { ids: [...shared, ...randomIds(3 + i)], options: { ...GREEDY, maxTokens: 6 } };
  });
  await withModel(device, async (model) => {
    const wanted = await alone(model, requests);
    await withBatch(model, { slots: 4, chunk: 8 }, async (batch) => {
      const got = await Promise.all(requests.map(({ ids, options }) => collect(batch, ids, options)));
      assert.equal(got, wanted);
      const { promptTokens, reusedTokens } = batch.status;
      const all = requests.reduce((sum, { ids }) => sum + ids.length, 0);
      assert.is(promptTokens + reusedTokens, all);
      assert.ok(reusedTokens >= 3 * 40, `${reusedTokens} of ${all} prompt tokens were reused`);
      // the text goes on in its own slot
      const longer = [...(requests[1] as Request).ids, ...(got[1] as number[]), 5];
      let stats: BatchStats | undefined;
      await collect(batch, longer, { ...GREEDY, maxTokens: 2, onStats: (all) => (stats = all) });
      assert.is(stats?.reusedTokens, longer.length - 2, 'all but the last answer id and the new one');
    });
  });
});

check('a probe makes a token and costs nobody what was in the cache', async (device) => {
  await withModel(device, async (model) => {
    await withBatch(model, { slots: 1 }, async (batch) => {
      await batch.probe();
      const ids = randomIds(30);
      const first = await collect(batch, ids, { ...GREEDY, maxTokens: 5 });
      const { tokens } = batch.status;
      await batch.probe();
      assert.is(batch.status.tokens, tokens + 1);
      let stats: BatchStats | undefined;
      const again = await collect(batch, ids, { ...GREEDY, maxTokens: 5, onStats: (latest) => (stats = latest) });
      assert.equal(again, first);
      assert.is(stats?.reusedTokens, ids.length - 1);
      const { context } = batch;
      await collect(batch, randomIds(context - 1), { ...GREEDY, maxTokens: 5 });
      await batch.probe();
      await batch.close();
      await expectError(() => batch.probe(), 'bad-argument', /closed/);
    });
  });
});

check('aborts, callers that leave, and callers that do not read', async (device) => {
  await withModel(device, async (model) => {
    const [wanted = []] = await alone(model, [{ ids: [1, 2, 3], options: { ...GREEDY, maxTokens: 90 } }]);
    await withBatch(model, { slots: 2, chunk: 8 }, async (batch) => {
      const reason = new Error('gone');
      const stop = new AbortController();
      const aborted = collect(batch, [1, 2, 3], { ...GREEDY, signal: stop.signal });
      const patient = collect(batch, [1, 2, 3], { ...GREEDY, maxTokens: 90 });
      const queued = collect(batch, [1, 2, 3], { ...GREEDY, signal: stop.signal });
      const leaver = (async () => {
        for await (const id of batch.generate([1, 2, 3], GREEDY)) return id;
      })();
      setTimeout(() => stop.abort(reason), 20);
      assert.equal(await Promise.allSettled([aborted, queued]), [
        { status: 'rejected', reason },
        { status: 'rejected', reason },
      ]);
      assert.is(await leaver, wanted[0]);
      assert.equal(await patient, wanted);

      // somebody who takes one id and then sleeps: his sequence pauses, the other one goes on
      const sleeper = batch.generate([1, 2, 3], { ...GREEDY, maxTokens: 90 });
      const first = await sleeper.next();
      const before = batch.status.tokens;
      assert.equal(await collect(batch, [1, 2, 3], { ...GREEDY, maxTokens: 90 }), wanted);
      assert.ok(batch.status.tokens - before < 90 + 70, 'the sleeper was paused');
      const rest: number[] = [];
      for await (const id of sleeper) rest.push(id);
      assert.equal([first.value, ...rest], wanted);
      assert.equal([batch.status.running, batch.status.queued], [0, 0]);
    });
  });
});

check('running answers keep flowing while a long prompt is read', async (device) => {
  await withModel(device, async (model) => {
    await withBatch(model, { slots: 2, chunk: 8 }, async (batch) => {
      const events: string[] = [];
      const talker = (async () => {
        for await (const _ of batch.generate([4], { ...GREEDY, maxTokens: 60 })) events.push('token');
      })();
      const onPrefill = () => events.push('prompt');
      await Promise.all([talker, collect(batch, randomIds(80), { ...GREEDY, maxTokens: 1, onPrefill })]);
      const first = events.indexOf('prompt');
      const last = events.lastIndexOf('prompt');
      const between = events.slice(first, last).filter((event) => event === 'token').length;
      assert.ok(between >= 8, `${between} tokens while ${last - first - between} passes went over the prompt`);
    });
  });
});

check('the mean state of a text is that of the reference', async (device) => {
  const ids = randomIds(45);
  const checkpoint = await openFolder(memoryFolder(safetensorsFolder(SMALL_LLAMA, randomWeights(SMALL_LLAMA))));
  const wanted = new Float64Array(SMALL_LLAMA.hidden);
  const trace = (step: string, state: Float64Array) => {
    if (step === 'pool') for (const [i, value] of state.entries()) wanted[i]! += value / ids.length;
  };
  const reference = await createReference(checkpoint, { trace, kv: 'f16' });
  for (const id of ids) reference.next(id);
  await checkpoint.close();
  await withModel(device, async (model) => {
    await withBatch(model, { slots: 2, chunk: 16 }, async (batch) => {
      const [state, again] = await Promise.all([batch.embed(ids), batch.embed(ids), collect(batch, ids, GREEDY)]);
      assert.ok(relativeError(state, wanted) < 1e-4, `${relativeError(state, wanted)}`);
      assert.equal(again, state);
    });
  });
});

check('bad requests are refused, and harm nobody', async (device) => {
  await withModel(device, async (model) => {
    await withBatch(model, { slots: 1, queue: 1 }, async (batch) => {
      const take = (ids: readonly number[], options: BatchTokenOptions = {}) => collect(batch, ids, options);
      await expectError(() => take([]), 'bad-argument', /prompt is empty/);
      await expectError(() => take([100]), 'bad-argument', /outside the vocabulary/);
      await expectError(() => take(randomIds(96)), 'context-full', /shorten the prompt/);
      await expectError(() => take([1], { topP: 2 }), 'bad-argument', /topP is 2/);
      const fine = take([1], { maxTokens: 5, seed: 1 });
      const waiting = take([1], { maxTokens: 5, seed: 1 });
      await expectError(() => take([1]), 'queue-full', /waiting already/);
      assert.equal(await waiting, await fine);
      const cut = expectError(() => take([1], { maxTokens: 90 }), 'bad-argument', /batch is closed/);
      await batch.close();
      await cut;
      await expectError(() => take([1]), 'bad-argument', /batch is closed/);
    });
    await withBatch(model, { slots: 1 }, async (batch) => {
      await batch.close(new FirstlightError('device-lost', 'the GPU is gone'));
      // who comes too late may try again elsewhere, as those do who were cut off
      await expectError(() => collect(batch, [1], {}), 'device-lost', /the GPU is gone/);
      await expectError(() => batch.embed([1]), 'device-lost', /the GPU is gone/);
    });
  });
});

test.run();
