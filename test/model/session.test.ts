/** Sessions: every way to feed a prompt gives the same, and whatever ends a generation leaves the session usable. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { sampleOnCpu } from '../../engine/candidates.ts';
import { applyEdits } from '../../engine/edits.ts';
import { type LoadOptions, loadModel, type Model } from '../../engine/model.ts';
import type { TokenFacts } from '../../engine/penalties.ts';
import { createReference } from '../../engine/reference.ts';
import { completeSampling } from '../../engine/sampler.ts';
import {
  createSession,
  type GeneratedToken,
  type GenerateOptions,
  type Session,
  type SessionOptions,
  type TokenOptions,
} from '../../engine/session.ts';
import { createSteering } from '../../engine/steering.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import type { Checkpoint, LlamaConfig } from '../../loaders/types.ts';
import { deviceTests } from '../device.ts';
import { createRandom, relativeError } from '../kernel.ts';
import { expectError } from '../pure/expect-error.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('session');
const check = await deviceTests(test);

const GREEDY: GenerateOptions = { temperature: 0 };
/** Two exact passes over the same ids: only the order of sums differs. */
const SAME = 2e-6;

function openRandom(config: LlamaConfig = SMALL_LLAMA): Promise<Checkpoint> {
  return openFolder(memoryFolder(safetensorsFolder(config, randomWeights(config))));
}

async function withModel(
  device: Device,
  options: LoadOptions,
  work: (model: Model) => Promise<void>,
  config?: LlamaConfig,
) {
  const model = await loadModel(device, await openRandom(config), { arithmetic: 'f32', context: 64, ...options });
  try {
    await work(model);
  } finally {
    await model.close();
  }
}

async function withSession<T>(
  model: Model,
  options: SessionOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await createSession(model, options);
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

async function collect(session: Session, ids: readonly number[], options: GenerateOptions = {}): Promise<number[]> {
  const got: number[] = [];
  for await (const id of session.generate(ids, { ...GREEDY, ...options })) got.push(id);
  return got;
}

async function allLogits(session: Session, ids: readonly number[]): Promise<number[]> {
  const rows: number[] = [];
  for await (const row of session.logits(ids)) rows.push(...row);
  return rows;
}

const randomIds = (count: number, seed: number) => {
  const random = createRandom(seed);
  return Array.from({ length: count }, () => random.below(SMALL_LLAMA.vocab));
};

/** A device whose plans are those of a GPU: several columns at once, lanes of a subgroup along a row, many threads. */
function plannedAsGpu(device: Device): Device {
  return { ...device, traits: { ...device.traits, software: false } };
}

check('prompts in chunks of any length give the logits of the reference', async (device) => {
  const ids = randomIds(37, 1);
  const checkpoint = await openRandom();
  const reference = await createReference(checkpoint);
  const wanted = ids.flatMap((id) => [...reference.next(id)]);
  // lavapipe would compile kernels for minutes
  const planned = device.traits.name.startsWith('llvmpipe') ? [device] : [device, plannedAsGpu(device)];
  for (const [i, like] of planned.entries()) {
    await withModel(like, { gemv: i === 0 ? undefined : 'lanes' }, async (model) => {
      for (const chunk of [1, 3, 8, 32]) {
        const error = await withSession(model, { chunk }, async (session) =>
          relativeError(await allLogits(session, ids), wanted),
        );
        assert.ok(error < 1e-5, `chunks of ${chunk}, ${i === 0 ? 'as the device wants it' : 'as on a GPU'}: ${error}`);
      }
    });
  }
});

check('a matrix that is cut because bindings are small gives the same logits', async (device) => {
  const ids = randomIds(9, 2);
  const limits = { ...device.traits.limits, maxBindingBytes: 20_000 };
  const whole: Device = { ...device, traits: { ...device.traits, software: true } }; // activations of few columns, that fit too
  const small: Device = { ...whole, traits: { ...whole.traits, limits } };
  const results: number[][] = [];
  for (const like of [whole, small]) {
    await withModel(like, {}, async (model) => {
      const parts = ['embed', 'layers.0.qkv', 'layers.1.gateUp', 'layers.1.down', 'output'].map(
        (name) => model.weights.matrices.get(name)!.parts.length,
      );
      for (const count of parts) assert.is(count > 1, like === small);
      results.push(await withSession(model, {}, (session) => allLogits(session, ids)));
    });
  }
  assert.ok(relativeError(results[1]!, results[0]!) < SAME);
});

check('attention split between workgroups makes the same text', async (device) => {
  const ids = randomIds(120, 3);
  const texts: number[][] = [];
  for (const splits of [1, 4]) {
    await withModel(
      device,
      { splits, context: 160 },
      async (model) => {
        texts.push(await withSession(model, {}, (session) => collect(session, ids, { maxTokens: 24 })));
      },
      { ...SMALL_LLAMA, context: 160 },
    );
  }
  assert.is(texts[0]!.length, 24);
  assert.equal(texts[1], texts[0]);
});

check('two sessions of one model by turns do not disturb each other', async (device) => {
  await withModel(device, {}, async (model) => {
    const prompts = [randomIds(5, 4), randomIds(11, 5)];
    const alone: number[][] = [];
    for (const ids of prompts)
      alone.push(await withSession(model, {}, (session) => collect(session, ids, { maxTokens: 10 })));
    const sessions = [await createSession(model), await createSession(model)];
    const streams = sessions.map((session, i) => session.generate(prompts[i]!, { ...GREEDY, maxTokens: 10 }));
    const got: number[][] = [[], []];
    for (let turn = 0; turn < 10; turn++) {
      for (const [i, stream] of streams.entries()) got[i]!.push((await stream.next()).value as number);
    }
    for (const stream of streams) await stream.return();
    for (const session of sessions) await session.close();
    assert.equal(got, alone);
  });
});

check('what the cache already holds is not computed again, and the text stays the same', async (device) => {
  await withModel(device, {}, async (model) => {
    const ids = randomIds(6, 6);
    const fresh = (prompt: readonly number[]) =>
      withSession(model, {}, (session) => collect(session, prompt, { maxTokens: 6 }));
    await withSession(model, {}, async (session) => {
      const first = await collect(session, ids, { maxTokens: 6 });
      assert.equal(first, await fresh(ids));
      assert.is(session.stats.reusedTokens, 0);

      const longer = [...ids, ...first, 17, 18];
      assert.equal(await collect(session, longer, { maxTokens: 6 }), await fresh(longer), 'continued');
      // the last chosen token was never fed
      assert.is(session.stats.reusedTokens, ids.length + first.length - 1);

      const other = [...longer.slice(0, 8), 77, 78];
      assert.equal(await collect(session, other, { maxTokens: 6 }), await fresh(other), 'branched off');
      assert.is(session.stats.reusedTokens, 8);

      session.rewind(3);
      assert.equal(await collect(session, other, { maxTokens: 6 }), await fresh(other), 'rewound');
      assert.is(session.stats.reusedTokens, 3);

      assert.equal(await collect(session, other, { maxTokens: 6 }), await fresh(other), 'the same again');
      assert.is(session.stats.reusedTokens, other.length - 1, 'the last id is always computed');
    });
  });
});

check('a generation that is aborted or left early leaves the session usable', async (device) => {
  await withModel(device, {}, async (model) => {
    const ids = randomIds(20, 7);
    const whole = await withSession(model, {}, (session) => collect(session, ids, { maxTokens: 12 }));
    await withSession(model, { chunk: 4 }, async (session) => {
      const usable = async (what: string) => {
        assert.equal(await collect(session, ids, { maxTokens: 12 }), whole, what);
        session.rewind(0);
      };
      const reason = new Error('enough');
      const rejects = async (work: Promise<unknown>, what: string) => {
        const error = await work.then(
          () => undefined,
          (error) => error,
        );
        assert.is(error, reason, what);
      };

      const before = AbortSignal.abort(reason);
      await rejects(collect(session, ids, { signal: before }), 'aborted before it began');
      await usable('after an abort before');

      const inPrefill = new AbortController();
      const onPrefill = (done: number) => {
        if (done === 8) inPrefill.abort(reason);
      };
      await rejects(collect(session, ids, { signal: inPrefill.signal, onPrefill }), 'aborted in the prompt');
      assert.is(session.history.length, 8, 'what was computed is kept');
      await usable('after an abort in the prompt');

      const inDecode = new AbortController();
      const got: number[] = [];
      const aborted = async () => {
        for await (const id of session.generate(ids, { ...GREEDY, signal: inDecode.signal }))
          if (got.push(id) === 3) inDecode.abort(reason);
      };
      await rejects(aborted(), 'aborted between tokens');
      assert.equal(got, whole.slice(0, 3));
      await usable('after an abort between tokens');

      for await (const id of session.generate(ids, GREEDY)) if (id === whole[2]) break;
      await usable('after a break');

      for await (const _ of session.generate(ids, GREEDY)) break;
      assert.equal(
        await collect(session, [...ids, ...whole.slice(0, 5)], { maxTokens: 7 }),
        whole.slice(5),
        'continued',
      );
    });
  });
});

check('tokens come until the context is full, maxTokens or a stop id', async (device) => {
  await withModel(device, {}, async (model) => {
    await withSession(model, { context: 16 }, async (session) => {
      const ids = randomIds(5, 8);
      const all = await collect(session, ids);
      assert.is(all.length, 11, 'prompt and text fill the context');
      assert.equal(await collect(session, ids, { maxTokens: 4 }), all.slice(0, 4));
      assert.equal(await collect(session, ids, { maxTokens: 0 }), []);
      const stop = all[3]!;
      assert.equal(await collect(session, ids, { stopIds: new Set([stop]) }), all.slice(0, all.indexOf(stop) + 1));
      assert.is((await collect(session, randomIds(15, 9))).length, 1, 'room for one');
    });
  });
});

check('what cannot be done is refused, and the session goes on', async (device) => {
  await withModel(device, {}, async (model) => {
    const session = await createSession(model, { context: 16 });
    const refused = (ids: readonly number[], options?: GenerateOptions) => () => collect(session, ids, options);
    await expectError(refused(randomIds(16, 1)), 'context-full', /16 tokens.*16 positions.*up to 128/);
    await expectError(refused([]), 'bad-argument', /empty/);
    for (const id of [-1, 100, 1.5, Number.NaN])
      await expectError(refused([1, id]), 'bad-argument', /outside the vocabulary.*0 to 99/);
    await expectError(refused([1], { temperature: -1 }), 'bad-argument', /temperature/);
    await expectError(() => allLogits(session, randomIds(17, 1)), 'context-full', /17 tokens.*16 positions/);

    const stream = session.generate([1], GREEDY);
    await stream.next();
    await expectError(refused([1]), 'bad-argument', /already generating/);
    await expectError(() => allLogits(session, [1]), 'bad-argument', /already generating/);
    await stream.return();
    const rows = session.logits([1, 2]);
    await rows.next();
    await expectError(refused([1]), 'bad-argument', /already generating/);
    await rows.return(undefined);
    assert.is((await collect(session, [1, 2], { maxTokens: 3 })).length, 3);

    await session.close();
    await session.close();
    await expectError(refused([1]), 'bad-argument', /closed/);
    await expectError(() => allLogits(session, [1]), 'bad-argument', /closed/);
  });
});

check('a session that is closed under a generation ends it', async (device) => {
  await withModel(device, {}, async (model) => {
    const before = device.memory();
    const ids = randomIds(30, 10);
    const between = await createSession(model);
    const stream = between.generate(ids, GREEDY);
    const first = (await stream.next()).value as number;
    await between.close();
    await expectError(() => stream.next(), 'bad-argument', /closed/);

    const pending = await createSession(model);
    const later = pending.generate(ids, GREEDY);
    assert.is((await later.next()).value, first);
    const waiting = later.next();
    await pending.close();
    assert.type((await waiting).value, 'number', 'what was under way arrives');

    const inPrompt = await createSession(model, { chunk: 4 });
    const onPrefill = (done: number) => {
      if (done === 8) inPrompt.close();
    };
    await expectError(() => collect(inPrompt, ids, { onPrefill }), 'bad-argument', /closed/);
    await inPrompt.close();
    assert.equal(device.memory(), before);
  });
});

/** Logits after each position, from the session's own passes: row i is what the choice of id i + 1 was made from. */
async function rowsOf(session: Session, ids: readonly number[]): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  for await (const row of session.logits(ids)) rows.push(row);
  return rows;
}

async function collectTokens(session: Session, ids: readonly number[], options: TokenOptions) {
  const got: GeneratedToken[] = [];
  for await (const token of session.tokens(ids, options)) got.push(token);
  return got;
}

/** Options that take each way of making tokens: ahead, with fixed edits, late, on the CPU. */
const WAYS: Readonly<Record<string, TokenOptions>> = {
  greedy: { temperature: 0 },
  top: { temperature: 1.3, topK: 30 },
  biased: {
    temperature: 1,
    topK: 20,
    logitBias: new Map([
      [5, 4],
      [9, Number.NEGATIVE_INFINITY],
    ]),
  },
  'greedy with penalties': { temperature: 0, repetitionPenalty: 1.4, frequencyPenalty: 1 },
  'DRY and a window': {
    temperature: 1.2,
    topK: 64,
    dryMultiplier: 2,
    dryAllowedLength: 1,
    presencePenalty: 1,
    penaltyTokens: 7,
  },
  typical: { temperature: 1.5, topK: 0, topP: 1, typicalP: 0.6 },
  'top-p with penalties': { temperature: 2, topK: 0, topP: 0.99, frequencyPenalty: 0.7, logitBias: new Map([[3, 2]]) },
};

for (const [name, options] of Object.entries(WAYS)) {
  check(`${name}: what is chosen and reported is what the CPU makes of the logits`, async (device) => {
    await withModel(device, {}, async (model) => {
      const ids = randomIds(9, 12);
      await withSession(model, {}, async (session) => {
        const sampling = { ...options, seed: 5, maxTokens: 20 };
        const plain = await collectTokens(session, ids, sampling);
        session.rewind(0);
        const got = await collectTokens(session, ids, { ...sampling, logprobs: 3 });
        assert.equal(
          got.map(({ id }) => id),
          plain.map(({ id }) => id),
          'asking for log probabilities changes nothing',
        );
        assert.is(plain[0]?.logprobs, undefined);
        const text = got.map(({ id }) => id);
        const rows = await rowsOf(session, [...ids, ...text.slice(0, -1)]);
        const complete = completeSampling(sampling);
        const steering = createSteering(sampling, undefined, ids, FACTS);
        for (const [i, { id, logprobs }] of got.entries()) {
          const raw = rows[ids.length - 1 + i]!;
          const edited = raw.slice();
          applyEdits(edited, steering.edits());
          assert.is(id, sampleOnCpu(edited, complete, ids.length + i), `token ${i}`);
          const logSum = Math.log(raw.reduce((sum, logit) => sum + Math.exp(logit), 0));
          const best = [...raw.keys()].sort((a, b) => raw[b]! - raw[a]!).slice(0, 3);
          assert.equal(
            logprobs?.top.map((one) => one.id),
            best,
          );
          for (const one of [logprobs!, ...logprobs!.top])
            assert.ok(
              Math.abs(one.logprob - (raw[one.id]! - logSum)) < 1e-4,
              `${one.logprob}, ${raw[one.id]! - logSum}`,
            );
          steering.accept(id);
        }
      });
    });
  });
}

const FACTS: TokenFacts = { vocab: SMALL_LLAMA.vocab, isControl: () => false, text: () => '' };

check(
  'a constraint allows what it allows, each token decides about the next, and its end is the end',
  async (device) => {
    await withModel(device, {}, async (model) => {
      // after id n come n + 1 and n + 7 only, until 60 is reached
      const create = () => {
        let last = 2;
        return {
          mask() {
            const mask = new Uint32Array(Math.ceil(SMALL_LLAMA.vocab / 32));
            for (const id of [last + 1, last + 7]) mask[id >> 5]! |= 1 << (id & 31);
            return mask;
          },
          accept(id: number) {
            assert.ok(id === last + 1 || id === last + 7, `${id} after ${last}`);
            last = id;
          },
          get done() {
            return last >= 60;
          },
        };
      };
      const ways: TokenOptions[] = [
        { temperature: 0 },
        { temperature: 5, topK: 64 },
        { temperature: 1, topK: 0, topP: 1 },
        { temperature: 1, typicalP: 0.9 },
      ];
      for (const options of ways) {
        const got = await withSession(model, {}, (session) =>
          collectTokens(session, [4], { ...options, seed: 1, constraint: create() }),
        );
        assert.ok(got.at(-1)!.id >= 60 && got.length >= 9);
        assert.equal(got.map(({ finish }) => finish).filter(Boolean), ['stop']);
      }
    });
  },
);

check('the last token says why it is the last', async (device) => {
  await withModel(device, {}, async (model) => {
    await withSession(model, { context: 16 }, async (session) => {
      const ids = randomIds(5, 8);
      const reasons = async (options: TokenOptions) =>
        (await collectTokens(session, ids, { ...GREEDY, ...options })).map(({ finish }) => finish);
      const full = await reasons({});
      assert.equal(full, [...new Array(10).fill(undefined), 'context']);
      assert.equal(await reasons({ maxTokens: 3 }), [undefined, undefined, 'length']);
      assert.equal(await reasons({ maxTokens: 50 }), full);
      const first = (await collect(session, ids, { maxTokens: 1 }))[0]!;
      assert.equal(await reasons({ stopIds: new Set([first]) }), ['stop']);
      await expectError(() => reasons({ logprobs: 65 }), 'bad-argument', /^logprobs is 65: .* from 0 to 64/);
      await expectError(() => reasons({ presencePenalty: 1000 }), 'bad-argument', /^presencePenalty/);
      assert.equal(await reasons({ maxTokens: 1 }), ['length'], 'goes on');
    });
  });
});

check('the CPU and the GPU draw the same text from the same seed', async (device) => {
  const config = { ...SMALL_LLAMA, vocab: 60 };
  await withModel(
    device,
    {},
    async (model) => {
      await withSession(model, {}, async (session) => {
        const sampling = { temperature: 1.2, topP: 0.9, seed: 11, maxTokens: 20 };
        const gpu = await collect(session, [1, 2, 3], { ...sampling, topK: 60 });
        const cpu = await collect(session, [1, 2, 3], { ...sampling, topK: 0 });
        assert.equal(gpu, cpu);
        const other = await collect(session, [1, 2, 3], { ...sampling, topK: 60, seed: 12 });
        assert.not.equal(other, gpu);
      });
    },
    config,
  );
});

check('closing gives all memory back, over twenty rounds', async (device) => {
  const before = device.memory();
  for (let round = 0; round < 20; round++) {
    await withModel(device, { weights: 'q4', arithmetic: undefined }, (model) =>
      withSession(model, {}, async (session) => {
        assert.is((await collect(session, [1, 2], { maxTokens: 2 })).length, 2);
      }),
    );
    assert.equal(device.memory(), before, `round ${round}`);
  }
});

test.run();
