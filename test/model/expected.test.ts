/** Whole models against logits that were computed elsewhere, in exact arithmetic and with int8 activations. */
import { existsSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { type LoadOptions, loadModel } from '../../engine/model.ts';
import { createReference } from '../../engine/reference.ts';
import { createSession, type Session } from '../../engine/session.ts';
import { openCheckpoint } from '../../loaders/checkpoint.ts';
import { deviceTests, LONG } from '../device.ts';
import { sharedPath, skipModel } from '../pure/shared-data.ts';

interface Run {
  readonly prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
  /** Best minus second-best logit where ids were chosen: all of them, or [index, gap] of the small ones. */
  readonly gaps?: readonly number[];
  readonly close_calls?: readonly (readonly [number, number])[];
}

interface Expected {
  readonly runs: readonly Run[];
  /** Rows of logits of each run: positions 0.. of prompt_ids followed by greedy_ids. */
  readonly rows: readonly Float32Array[][];
}

const MODELS = [
  'aidreams260K/hf',
  'aidreams260K/hf-sharded-bf16',
  'aidreams260K/gguf/aidreams260K-F32.gguf',
  'aidreams260K/gguf/aidreams260K-F16.gguf',
  'aidreams260K/gguf/aidreams260K-Q8_0.gguf',
  'aidreams260K/gguf/aidreams260K-Q4_0.gguf',
  'aidreams260K/gguf/aidreams260K-Q4_1.gguf',
  'aidreams260K/gguf/aidreams260K-Q5_0.gguf',
  'aidreams260K/gguf/aidreams260K-mixed.gguf',
  'tiny-kquant/tiny-kquant-Q2_K.gguf',
  'tiny-kquant/tiny-kquant-Q3_K_M.gguf',
  'tiny-kquant/tiny-kquant-Q4_K_M.gguf',
  'tiny-kquant/tiny-kquant-Q5_K_M.gguf',
  'tiny-llama3',
  'tiny-qwen2',
  'tiny-qwen3',
  'tiny-mistral',
];
/** Two logits that are each off by this may change places. */
const EXACT = 1e-3;

function readExpected(path: string, vocab: number): Expected {
  const [json, raw] = path.endsWith('.gguf')
    ? [path.replace(/\.gguf$/, '.expected.json'), path.replace(/\.gguf$/, '.logits.f32')]
    : [`${path}/expected.json`, `${path}/logits.f32`];
  const file = JSON.parse(readFileSync(json, 'utf8'));
  const runs: Run[] = file.runs ?? [file];
  const bytes = readFileSync(raw);
  const all = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const total = all.length / vocab;
  // two runs share the file: 32 rows of the first, the rest of the second; a single run has a row for each prompt id
  const counts = runs.length === 2 ? [32, total - 32] : [total];
  let row = 0;
  const rows = counts.map((count) => Array.from({ length: count }, () => all.subarray(row * vocab, ++row * vocab)));
  return { runs, rows };
}

async function withSession<T>(
  device: Device,
  path: string,
  options: LoadOptions,
  work: (session: Session) => Promise<T>,
) {
  const checkpoint = await openCheckpoint(path);
  const model = await loadModel(device, checkpoint, options);
  const session = await createSession(model, { context: Math.min(checkpoint.config.context, 320) });
  try {
    return await work(session);
  } finally {
    await session.close();
    await model.close();
    await checkpoint.close();
  }
}

const largest = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs((a[i] as number) - (b[i] as number)));
  return most;
};

const test = suite('expected logits');
const check = await deviceTests(test);

async function compareLogits(session: Session, ids: readonly number[], wanted: readonly Float32Array[], what: string) {
  let position = 0;
  for await (const got of session.logits(ids.slice(0, wanted.length))) {
    const error = largest(got, wanted[position] as Float32Array);
    assert.ok(error < EXACT, `${what}, position ${position}: a logit is off by ${error}`);
    position++;
  }
}

for (const name of MODELS) {
  const path = sharedPath(`models/${name}`);
  if (!existsSync(path)) {
    skipModel(test, name);
    continue;
  }
  check(`${name}: exact arithmetic gives the expected logits and greedy ids`, async (device) => {
    // lavapipe takes seconds for a kernel, and each format has its own: SwiftShader has seen them
    if (/kquant|Q4_1|Q5_0|mixed/.test(name) && device.traits.name.startsWith('llvmpipe')) return;
    await withSession(device, path, { arithmetic: 'f32' }, async (session) => {
      const { runs, rows } = readExpected(path, session.model.config.vocab);
      for (const [r, run] of runs.entries()) {
        const ids = [...run.prompt_ids, ...run.greedy_ids];
        const wanted = rows[r] as Float32Array[];
        await compareLogits(session, ids, wanted, `run ${r}`);
        // ids are fixed only as long as no gap is within what rounding may close
        const gaps = run.gaps?.map((gap, i) => [i, gap] as const) ?? run.close_calls ?? [];
        const tie = gaps.find(([, gap]) => gap < 2 * EXACT)?.[0] ?? -1;
        const count = tie < 0 ? run.greedy_ids.length : tie;
        const got: number[] = [];
        for await (const id of session.generate(run.prompt_ids, { temperature: 0, maxTokens: count })) got.push(id);
        assert.equal(got, run.greedy_ids.slice(0, count), `greedy ids of run ${r}`);
      }
    });
  });
}

// kernels for many columns, which CPU drivers only take when asked; all models with FIRSTLIGHT_TEST_LONG=1
const TILED = ['aidreams260K/hf', 'tiny-mistral', 'tiny-kquant/tiny-kquant-Q4_K_M.gguf'];
for (const name of LONG ? MODELS : TILED) {
  const path = sharedPath(`models/${name}`);
  if (!existsSync(path)) {
    skipModel(test, name);
    continue;
  }
  check(`${name}: prompts in tiles give the expected logits`, async (device) => {
    if (!LONG && device.traits.name.startsWith('llvmpipe')) return; // it compiles for seconds
    await withSession(device, path, { arithmetic: 'f32', many: 'tiles' }, async (session) => {
      const { runs, rows } = readExpected(path, session.model.config.vocab);
      for (const [r, { prompt_ids, greedy_ids }] of runs.entries())
        await compareLogits(session, [...prompt_ids, ...greedy_ids], rows[r] as Float32Array[], `run ${r}`);
    });
  });
}

// how far a q8 cache moves the logits of a trained model, and of one with random weights
for (const [name, most] of [
  ['aidreams260K/hf', 0.1],
  ['tiny-qwen3', 0.5],
] as const) {
  const path = sharedPath(`models/${name}`);
  if (!existsSync(path)) {
    skipModel(test, name);
    continue;
  }
  check(`${name}: a q8 cache stays near the expected logits`, async (device) => {
    await withSession(device, path, { arithmetic: 'f32', kv: 'q8' }, async (session) => {
      const { runs, rows } = readExpected(path, session.model.config.vocab);
      const checkpoint = await openCheckpoint(path);
      for (const [r, run] of runs.entries()) {
        const wanted = rows[r] as Float32Array[];
        const ids = [...run.prompt_ids, ...run.greedy_ids].slice(0, wanted.length);
        const reference = await createReference(checkpoint, { kv: 'q8' });
        let position = 0;
        for await (const got of session.logits(ids)) {
          const error = largest(got, wanted[position] as Float32Array);
          assert.ok(error < most, `run ${r}, position ${position}: a logit is off by ${error}`);
          // an element on the edge between two codes may fall either way and then shows in later positions
          const off = largest(got, reference.next(ids[position] as number));
          assert.ok(off < most / 10, `run ${r}, position ${position}: off the reference that rounds alike by ${off}`);
          position++;
        }
      }
      await checkpoint.close();
    });
  });
}

for (const name of ['aidreams260K/gguf/aidreams260K-Q8_0.gguf', 'aidreams260K/gguf/aidreams260K-Q4_0.gguf']) {
  const path = sharedPath(`models/${name}`);
  if (!existsSync(path)) {
    skipModel(test, name);
    continue;
  }
  check(`${name}: int8 activations agree with the CPU reference that rounds alike`, async (device) => {
    if (!device.traits.packedDot) return;
    await withSession(device, path, { arithmetic: 'i8' }, async (session) => {
      const { runs, rows } = readExpected(path, session.model.config.vocab);
      const checkpoint = await openCheckpoint(path);
      const run = runs[0] as Run;
      const ids = [...run.prompt_ids, ...run.greedy_ids].slice(0, 32);
      let position = 0;
      for await (const got of session.logits(ids)) {
        const off = largest(got, (rows[0] as Float32Array[])[position] as Float32Array);
        assert.ok(off < 0.2, `position ${position}: off the exact logits by ${off}, more than 8-bit inputs explain`);
        position++;
      }
      // A value on the edge between two codes may fall either way, and through the KV cache it then moves all later logits
      // by a code's worth: so many short texts, of which most meet no such edge.
      const errors: number[] = [];
      for (let start = 0; start < 8; start++) {
        const text = run.greedy_ids.slice(6 * start, 6 * start + 6);
        const reference = await createReference(checkpoint, { activations: 'i8', kv: 'f16' });
        let at = 0;
        for await (const got of session.logits(text)) errors.push(largest(got, reference.next(text[at++] as number)));
      }
      await checkpoint.close();
      const close = errors.filter((error) => error < 1e-4).length;
      console.log(
        `  int8 against its reference: ${close} of ${errors.length} within 1e-4, largest ${Math.max(...errors)}`,
      );
      assert.ok(close >= 0.75 * errors.length, `only ${close} of ${errors.length} positions agree within 1e-4`);
      assert.ok(Math.max(...errors) < 0.2, `largest difference ${Math.max(...errors)}`);
    });
  });
}

test.run();
