/**
 * Every step of a decode pass on small random models against the CPU reference's value of the same name, so that a kernel
 * that computes wrongly is named.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { compileSteps, recordPass } from '../../engine/encode.ts';
import type { KvFormat } from '../../engine/kv-cache.ts';
import { ropeNames } from '../../engine/layers.ts';
import { loadModel } from '../../engine/model.ts';
import { planDecode } from '../../engine/plan.ts';
import { sessionBuffers } from '../../engine/plan-buffers.ts';
import { createReference } from '../../engine/reference.ts';
import { ropeConfig, ropeTable } from '../../engine/rope.ts';
import { encodeState } from '../../engine/state.ts';
import type { PlanOptions, Step } from '../../engine/steps.ts';
import type { Arithmetic, Preferences } from '../../engine/variants.ts';
import { openFolder } from '../../loaders/checkpoint.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import type { Format } from '../../quant/layout.ts';
import { halfSplitRow } from '../../quant/row-order.ts';
import { type BlockForm, readBlocks, readFixed } from '../blocks.ts';
import { deviceTests, NOT_FOR_DEVICE, skipUnless, testDevice } from '../device.ts';
import { floats, relativeError } from '../kernel.ts';
import { memoryFolder, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';

const test = suite('steps');
const check = await deviceTests(test);

const CONTEXT = 16;
const IDS = [1, 42, 7, 99];
/** Errors add up over the steps. An int8 value on the edge of two codes may fall either way: a few per mille of a result. */
const TOLERANCE: Readonly<Record<Arithmetic, number>> = { f32: 1e-5, mix: 3e-3, i8: 1e-2 };
/** Likewise a key or value on the edge of two codes of a q8 cache. */
const EDGE_TOLERANCE = 1e-2;
/** Rounding to the block's own form comes on top. */
const BLOCK_TOLERANCE: Readonly<Record<BlockForm, number>> = { f32: 1e-5, f16: 3e-3, i8: 2e-2 };

interface Case {
  readonly name: string;
  readonly config: LlamaConfig;
  readonly runs: readonly (readonly [Format, Arithmetic, KvFormat?])[];
  /** Steps are merged, also on devices where they would not be. */
  readonly merged?: true;
}

const GEMMA: LlamaConfig = {
  ...{ ...SMALL_LLAMA, norms: 'both', normOffset: 1, activation: 'gelu', embeddingScale: 8, tiedEmbeddings: true },
  ...{ slidingWindow: 2, slidingLayers: [true, false] },
};
const QUANTISED: Case['runs'] = [
  ['f32', 'f32'],
  ['q4', 'i8'],
];
const CASES: readonly Case[] = [
  {
    name: 'grouped heads',
    config: SMALL_LLAMA,
    runs: [
      ...QUANTISED,
      ['f32', 'f32', 'q8'],
      ['f16', 'f32'],
      ['bf16', 'f32'],
      ['q8', 'f32'],
      ['q4', 'f32'],
      ['q8', 'i8'],
      ['q4', 'mix'],
    ],
  },
  ...(
    [
      [32, 'q4', 'f16'],
      [64, 'q8', 'q8'],
    ] as const
  ).map(([headDim, format, kv]) => ({
    name: `merged steps, heads of ${headDim}`,
    config: { ...SMALL_LLAMA, layers: 3, headDim, ropeDim: headDim, hidden: 96, slidingWindow: 3 },
    runs: [[format, 'i8', kv]] as Case['runs'],
    merged: true as const,
  })),
  {
    name: 'merged steps but attention, whose heads of 16 are no blocks',
    config: { ...SMALL_LLAMA, layers: 3, feedForward: 75, qkNorm: 'head' },
    runs: [['q4', 'i8']],
    merged: true,
  },
  {
    name: 'three heads of 80',
    config: { ...SMALL_LLAMA, heads: 3, kvHeads: 3, headDim: 80, ropeDim: 80 },
    runs: [...QUANTISED, ['f32', 'f32', 'q8']],
  },
  {
    name: 'widths that are no multiple of 32, tied embedding',
    config: { ...SMALL_LLAMA, hidden: 60, feedForward: 75, vocab: 101, tiedEmbeddings: true },
    runs: QUANTISED,
  },
  {
    name: 'Qwen 3: norms of q and k',
    config: { ...SMALL_LLAMA, architecture: 'qwen3', qkNorm: 'head', heads: 6 },
    runs: [...QUANTISED, ['f32', 'f32', 'q8']],
  },
  {
    name: 'Qwen 2: biases',
    config: { ...SMALL_LLAMA, architecture: 'qwen2', attentionBias: true, heads: 7, kvHeads: 1 },
    runs: QUANTISED,
  },
  {
    name: 'Mistral: a window of 2',
    config: { ...SMALL_LLAMA, architecture: 'mistral', slidingWindow: 2 },
    runs: QUANTISED,
  },
  {
    name: 'Phi 3: only a part of each head turns',
    config: { ...SMALL_LLAMA, architecture: 'phi3', ropeDim: 12, headDim: 24 },
    runs: [['q4', 'i8']],
  },
  {
    name: 'Gemma 2: caps, GELU, windows in turn, norms of outputs',
    config: { ...GEMMA, architecture: 'gemma2', attentionCap: 1.5, logitCap: 2, attentionScale: 0.4, hidden: 60 },
    runs: QUANTISED,
  },
  {
    name: 'Gemma 3: heads of 256, local RoPE, norms of heads',
    config: {
      ...{ ...GEMMA, architecture: 'gemma3', qkNorm: 'head', localRopeTheta: 10 },
      ...{ headDim: 256, ropeDim: 256, heads: 2, kvHeads: 1 },
      ropeScaling: { kind: 'linear', factor: 4 },
    },
    runs: QUANTISED,
  },
  {
    name: 'OLMo 2: norms of outputs only, and of all of q and k',
    config: {
      ...SMALL_LLAMA,
      architecture: 'olmo2',
      norms: 'after',
      qkNorm: 'all',
      heads: 3,
      kvHeads: 3,
      headDim: 12,
      ropeDim: 12,
    },
    // no gain before the first product: of a 4-bit embedding all values that are half of the largest, 63.5 codes, would be on an edge
    runs: [
      ['f32', 'f32'],
      ['q8', 'i8'],
    ],
  },
  {
    name: 'SmolLM 3: a layer without RoPE',
    config: { ...SMALL_LLAMA, architecture: 'smollm3', ropeLayers: [true, false] },
    runs: [['q4', 'i8']],
  },
];

// lavapipe needs a second or so for each kernel: there, the arithmetic that SwiftShader does not have
const device = await testDevice();
const isLavapipe = device?.traits.name.startsWith('llvmpipe');

const checkSuited = skipUnless('steps', NOT_FOR_DEVICE, test, check);
for (const { name, config, runs, merged } of CASES) {
  for (const [format, arithmetic, kv] of runs) {
    const title = `${name}: ${format} weights, ${arithmetic} arithmetic${kv ? `, ${kv} cache` : ''}`;
    const runnable =
      !device || (arithmetic === 'mix' ? device.traits.f16 : arithmetic === 'f32' || device.traits.packedDot);
    const wanted =
      !isLavapipe || merged || arithmetic === 'mix' || (config === SMALL_LLAMA && (format === 'q4' || kv === 'q8'));
    const preferences: Preferences = merged ? { gemv: 'lanes', merged } : {};
    const possible = !merged || !device || (device.traits.subgroups?.min ?? 0) >= 8;
    checkSuited(runnable && wanted && possible, title, (device) =>
      compareSteps(device, config, format, arithmetic, kv, preferences),
    );
  }
}

const isProjected = ({ spec }: Step) => spec.OUT === 'projected';

/** The reference's name of a step: it has attention in one part, which is complete once `combine` has joined what the device has cut. */
function tracedName({ name }: Step): string {
  return name.replace(/\.combine$/, '.attention').replace(/\.feedForward$/, '.down');
}

async function compareSteps(
  device: Device,
  config: LlamaConfig,
  format: Format,
  arithmetic: Arithmetic,
  kv: KvFormat | undefined,
  preferences: Preferences,
) {
  const checkpoint = await openFolder(memoryFolder(safetensorsFolder(config, randomWeights(config))));
  const model = await loadModel(device, checkpoint, { weights: format, arithmetic, kv, context: CONTEXT });
  const plan: PlanOptions = {
    config: model.config,
    weights: model.weights,
    traits: device.traits,
    preferences: { ...model.preferences, ...preferences },
    kv: model.kv,
    context: CONTEXT,
    chunk: 1,
    slots: 1,
  };
  const truths = new Map<string, Float64Array>();
  const reference = await createReference(checkpoint, {
    weights: format,
    activations: arithmetic === 'i8' ? 'i8' : 'f64',
    kv: model.kv === 'f32' ? 'f64' : model.kv,
    trace: (step, values) => truths.set(step, values),
  });
  const buffers = new Map<string, GPUBuffer>();
  const find = (name: string) => buffers.get(name) ?? model.buffer(name);
  const read = async (name: string | undefined) => {
    const buffer = find(name ?? '')!;
    const bytes = await device.read(buffer, 0, buffer.size);
    return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  };
  try {
    for (const { name, bytes, purpose } of sessionBuffers(plan)) buffers.set(name, device.buffer(name, bytes, purpose));
    for (const name of ropeNames(model.config))
      await device.upload(find(name)!, 0, ropeTable(ropeConfig(model.config, name), CONTEXT));
    const steps = planDecode(plan, 'none');
    const projects = steps.some(isProjected);
    const merges = steps.some(({ kernel }) => kernel === 'feed-forward');
    assert.ok(merges || !preferences.merged, 'the plan has the steps that it is to have');
    assert.ok(projects || !preferences.merged || config.headDim < 32, 'and those');
    const program = await compileSteps(device, steps, find);
    for (const [position, id] of IDS.entries()) {
      truths.clear();
      reference.next(id);
      await device.upload(find('tokens')!, 0, Uint32Array.of(id));
      await device.upload(find('state')!, 0, encodeState([{ position, slot: 0 }], [0], CONTEXT, false));
      for (const [i, step] of steps.entries()) {
        const encoder = device.gpu.createCommandEncoder();
        recordPass(encoder, { steps: [program.steps[i]!] }, { columns: 1, outputs: 1 });
        device.gpu.queue.submit([encoder.finish()]);
        const truth = truths.get(tracedName(step));
        assert.ok(truth, `the reference has a step ${step.name}`);
        await compareStep(step, truth, `position ${position}`);
      }
      truths.delete('pool'); // of passes whose mean state is wanted
      for (const name of [...truths.keys()]) {
        const inside = (projects && name.endsWith('.attention')) || (merges && name.endsWith('.gateUp'));
        if (inside && !steps.some((step) => step.name === name)) truths.delete(name);
      }
      assert.is(truths.size, new Set(steps.map(tracedName)).size, 'the reference has no steps of its own');
    }
  } finally {
    for (const buffer of buffers.values()) device.free(buffer);
    await model.close();
    await checkpoint.close();
  }

  async function compareStep(step: Step, truth: Float64Array, where: string) {
    const compare = (what: string, got: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number) => {
      const error = relativeError(got, wanted);
      assert.ok(error < tolerance, `${step.name} (${step.kernel}), ${where}: ${what} is off by ${error}`);
    };
    const tolerance = Math.max(TOLERANCE[arithmetic], kv === 'q8' ? EDGE_TOLERANCE : 0);
    const { q, out, residual, added, logits, gains, y_codes, y_meta } = step.buffers;
    if (/qkv$|headNorm$/.test(step.name)) {
      // the device turns neighbours, the checkpoint halves of a head
      const { headDim, ropeDim } = config;
      const wanted = truth.map((_, i) => truth[i - (i % headDim) + halfSplitRow(i % headDim, ropeDim)] as number);
      compare('q', floats(await read(q ?? out)), wanted, tolerance);
    }
    if (out && /\.(o|down)$/.test(step.name)) compare('output', floats(await read(out)), truth, tolerance);
    const isInput = step.spec.ACT === 'i8-residual' && step.kernel !== 'feed-forward';
    if (residual && !isInput) {
      const words = await read(residual);
      const isFixed = step.spec.RESIDUAL !== undefined || isProjected(step) || added !== undefined;
      const values = isFixed ? readFixed(words, truth.length) : floats(words);
      const beside = added ? readFixed(await read(added), truth.length) : undefined;
      compare('residual', beside ? values.map((value, i) => value + beside[i]!) : values, truth, tolerance);
    }
    if (logits) compare('logits', floats(await read(logits)), truth, tolerance);
    if (y_codes) {
      const form = String(step.spec.STORE).replace('-lanes', '') as BlockForm;
      const got = readBlocks(form, await read(y_codes), floats(await read(y_meta)), 1, truth.length);
      const gain = gains && !isInput && step.spec.GAIN !== 'none' ? floats(await read(gains)) : undefined;
      const wanted = truth.map((value, i) => value * (gain?.[i] ?? 1));
      compare(`${form} blocks`, got, wanted, Math.max(tolerance, BLOCK_TOLERANCE[form]));
    }
  }
}

test.run();
