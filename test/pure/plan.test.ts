/** The forward pass as data: how many steps, that they fit together, and that every kernel can be specialised. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Traits } from '../../devices/types.ts';
import { workgroupsOf } from '../../engine/encode.ts';
import type { KvFormat } from '../../engine/kv-cache.ts';
import { type Choice, planBatch, planDecode, planPrefill } from '../../engine/plan.ts';
import { sessionBuffers, weightBuffers } from '../../engine/plan-buffers.ts';
import type { PlanOptions, Step } from '../../engine/steps.ts';
import { type Arithmetic, chooseAttention, chooseGemv, type Preferences, widthOf } from '../../engine/variants.ts';
import { describeWeights, type WeightsOption } from '../../engine/weights.ts';
import type { LlamaConfig } from '../../loaders/types.ts';
import { roundUp } from '../../quant/layout.ts';
import { specialise } from '../../shaders/specialise.ts';
import { blankCheckpoint, LLAMA_2_7B, LLAMA_31_8B } from '../blank-model.ts';
import { DECK } from '../deck.ts';
import { SMALL_LLAMA } from '../random-model.ts';

const test = suite('plan');

const DEVICES: Readonly<Record<string, Traits>> = {
  deck: DECK,
  nvidia: { ...DECK, vendor: 'nvidia', subgroups: { min: 32, max: 32 }, subgroupSizeControl: false },
  matrix: {
    ...{ ...DECK, vendor: 'nvidia', subgroups: { min: 32, max: 32 }, subgroupSizeControl: false },
    subgroupMatrix: [{ m: 16, n: 16, k: 16, component: 'f16', result: 'f32' }],
  },
  plain: { ...DECK, vendor: 'arm', f16: false, subgroups: undefined, subgroupSizeControl: false, packedDot: false },
  varying: { ...DECK, vendor: 'intel', subgroups: { min: 8, max: 32 }, subgroupSizeControl: false },
  narrow: {
    ...DECK,
    vendor: 'intel',
    subgroups: { min: 32, max: 64 },
    limits: { ...DECK.limits, maxWorkgroupThreads: 256 },
  },
  software: { ...DECK, vendor: 'google', software: true, f16: false, subgroups: { min: 4, max: 4 } },
};
const MODELS: Readonly<Record<string, LlamaConfig>> = {
  'Llama 2 7B': LLAMA_2_7B,
  'Llama 3.1 8B': LLAMA_31_8B,
  small: SMALL_LLAMA,
  'odd heads': { ...SMALL_LLAMA, hidden: 60, heads: 9, kvHeads: 3, headDim: 20, ropeDim: 12, tiedEmbeddings: true },
  'Qwen 3': { ...SMALL_LLAMA, architecture: 'qwen3', qkNorm: 'head' },
  'Qwen 2': { ...SMALL_LLAMA, architecture: 'qwen2', attentionBias: true },
  Mistral: { ...SMALL_LLAMA, architecture: 'mistral', slidingWindow: 8 },
  'Gemma 3': {
    ...{ ...SMALL_LLAMA, architecture: 'gemma3', norms: 'both', normOffset: 1, qkNorm: 'head', activation: 'gelu' },
    ...{ embeddingScale: 8, attentionCap: 50, logitCap: 30, tiedEmbeddings: true, headDim: 256, ropeDim: 256 },
    ...{ slidingWindow: 8, slidingLayers: [true, false], localRopeTheta: 1e4, ropeTheta: 1e6 },
  },
  'OLMo 2': { ...SMALL_LLAMA, architecture: 'olmo2', norms: 'after', qkNorm: 'all' },
  'SmolLM 3': { ...SMALL_LLAMA, architecture: 'smollm3', ropeLayers: [true, false] },
};

interface Wishes {
  readonly config?: LlamaConfig;
  readonly traits?: Traits;
  readonly preferences?: Preferences;
  /** `mixed`: some matrices in 4 bits, some in f16, as quantisers leave them. */
  readonly weights?: WeightsOption | 'mixed';
  readonly maxBindingBytes?: number;
  readonly kv?: KvFormat;
}

function planOf({
  config = SMALL_LLAMA,
  traits = DECK,
  preferences = {},
  weights = 'native',
  maxBindingBytes,
  kv = preferences.arithmetic === 'f32' ? 'f32' : 'f16',
}: Wishes): PlanOptions {
  const checkpoint = blankCheckpoint(config, 'Q4_0');
  const tensors = new Map(checkpoint.tensors);
  for (const [name, tensor] of weights === 'mixed' ? checkpoint.tensors : [])
    if (/1.self_attn.v_proj|0.mlp.down_proj|1.self_attn.o_proj|lm_head/.test(name) && tensor.rows > 1)
      tensors.set(name, { ...tensor, type: 'F16' });
  const option = weights === 'mixed' ? 'native' : weights;
  return {
    config,
    weights: describeWeights({ config, tensors }, option, maxBindingBytes ?? traits.limits.maxBindingBytes),
    traits,
    preferences,
    kv,
    context: 256,
    chunk: 32,
    slots: 1,
  };
}

const shortNames = (steps: readonly Step[], layer: number) =>
  steps.filter(({ name }) => name.startsWith(`layers.${layer}.`)).map(({ name }) => name.split('.')[2]);

test('Llama: five dispatches a layer, and three', () => {
  const steps = planDecode(planOf({ config: LLAMA_2_7B }), 'greedy');
  assert.is(steps.length, 5 * 32 + 3);
  assert.equal(shortNames(steps, 31), ['qkv', 'attention', 'o', 'gateUp', 'down']);
  assert.is(steps[0]?.name, 'embed');
  assert.equal(
    steps.slice(-2).map(({ name }) => name),
    ['logits', 'choose.greedy'],
  );
});

test('a token of several sequences: six dispatches a layer, and whoever needs the same weights comes at the same time', () => {
  const plan = planOf({ config: LLAMA_2_7B, traits: DEVICES.nvidia! });
  const steps = planBatch(plan, 4);
  assert.equal(shortNames(steps, 31), ['qkv', 'attention', 'combine', 'o', 'gateUp', 'down']);
  const size = { columns: 32, outputs: 32, keys: 100 };
  const groups = new Map(steps.map(({ name, grid }) => [name, workgroupsOf(grid, size)]));
  assert.equal(groups.get('layers.0.gateUp'), [8, 22016 / 64, 1], 'four columns each, those of the same rows together');
  assert.equal(groups.get('logits'), [8, 32000 / 32, 1]);
  assert.equal(groups.get('layers.0.attention')?.slice(0, 2), [32, 32], 'heads by sequences');
  for (const { name, kernel, spec, grid } of steps)
    assert.is(spec.COLUMNS_FIRST ?? false, grid.columnsFirst ?? false, `${name} (${kernel}) finds its columns`);
  for (const { name, grid } of planDecode(plan, 'greedy'))
    assert.is(workgroupsOf(grid, { ...size, columns: 1, outputs: 1 })[1], 1, `${name}: a column alone`);
});

test('on NVIDIA attention and the output projection are one step, as long as there are not too many keys', () => {
  const names = (keys: number, wishes: Wishes = {}, layer = 31) => {
    const plan = planOf({ config: LLAMA_2_7B, traits: DEVICES.nvidia!, ...wishes });
    return shortNames(planDecode(plan, 'greedy', {}, keys), layer);
  };
  const apart = ['qkv', 'attention', 'o', 'gateUp', 'down'];
  assert.equal(names(1), ['qkv', 'o', 'gateUp', 'down']);
  assert.equal(names(4096), names(1));
  assert.equal(names(4097), apart);
  const shared = { config: { ...LLAMA_2_7B, kvHeads: 8 } };
  assert.equal([names(1536, shared).length, names(1537, shared).length], [4, 5]);
  assert.equal(names(1, { traits: DECK }), apart);
  assert.equal(names(1, { preferences: { merged: false } }), apart);
  assert.ok(names(1, { preferences: { arithmetic: 'f32' } }).includes('attention'), 'exact');
  assert.ok(names(1, { preferences: { gemv: 'rows' } }).includes('attention'));
  assert.equal(names(5000, { preferences: { merged: true } }), names(1));
  assert.equal(names(1, { config: { ...LLAMA_2_7B, headDim: 80, ropeDim: 80 } }), apart, 'blocks of two heads');
});

test('on NVIDIA gate, up and down are one step, but in the last layer', () => {
  const planFor = (wishes: Wishes = {}) => planOf({ config: LLAMA_2_7B, traits: DEVICES.nvidia!, ...wishes });
  const names = (layer: number, wishes: Wishes = {}, keys = 1) =>
    shortNames(planDecode(planFor(wishes), 'greedy', {}, keys), layer);
  assert.equal(names(0), ['qkv', 'o', 'feedForward']);
  assert.equal(names(30), names(0));
  assert.equal(names(31), ['qkv', 'o', 'gateUp', 'down']);
  assert.equal(names(30, {}, 5000), ['qkv', 'attention', 'o', 'feedForward']);
  const apart = (wishes: Wishes) => assert.equal(names(30, wishes).slice(-2), ['gateUp', 'down']);
  apart({ preferences: { merged: false } });
  apart({ preferences: { arithmetic: 'f32' } });
  apart({ preferences: { gemv: 'rows' } });
  apart({ traits: DECK });
  apart({ config: { ...LLAMA_2_7B, feedForward: 28672 } }); // more slices than run at once
  const slices = (feedForward: number) => {
    const step = planDecode(planFor({ config: { ...LLAMA_2_7B, feedForward } }), 'greedy').find(
      ({ kernel }) => kernel === 'feed-forward',
    )!;
    return [step.spec.SLICE, step.spec.THREADS, step.grid.x];
  };
  assert.equal([11008, 14336, 8192, 1000].map(slices), [
    [4, 1024, 86],
    [4, 1024, 112],
    [2, 512, 128],
    [1, 256, 32],
  ]);
});

test('who reads and who writes the residual stream agree on its form, and what is added beside it is taken in once', () => {
  for (const keys of [1, 5000]) {
    const steps = planDecode(planOf({ config: LLAMA_2_7B, traits: DEVICES.nvidia! }), 'greedy', {}, keys);
    assert.is(steps[0]!.spec.RESIDUAL, 'folded', 'what a pass before this left behind is cleared');
    let waiting = false; // something has been added that the stream lacks
    for (const { name, kernel, buffers, spec } of steps) {
      if (!buffers.residual && !buffers.added) continue;
      const isFixed = ['fixed', 'folded'].includes(String(spec.RESIDUAL)) || spec.OUT === 'projected';
      assert.ok(isFixed || spec.ACT === 'i8-residual', name);
      const folds = spec.RESIDUAL === 'folded' || (spec.OUT === 'projected' && spec.ADDED === 'apart');
      if (waiting) assert.is(buffers.added, 'added', `${name} takes both`);
      if (kernel === 'feed-forward') assert.not(waiting, `${name}: what was added before is in the stream`);
      waiting = kernel === 'feed-forward' || (waiting && !folds);
    }
    assert.not(waiting, 'nothing is left behind');
  }
});

test('norms of q and k are a sixth step; so is joining a split attention where the product behind it cannot', () => {
  const plan = planOf({ config: MODELS['Qwen 3'] });
  assert.equal(shortNames(planDecode(plan, 'top'), 1), ['qkv', 'headNorm', 'attention', 'o', 'gateUp', 'down']);
  const split = { preferences: { splits: 4, merged: false }, config: LLAMA_2_7B };
  const steps = (traits: Traits) => shortNames(planDecode(planOf({ ...split, traits }), 'top'), 0);
  assert.equal(steps(DEVICES.software!), ['qkv', 'attention', 'combine', 'o', 'gateUp', 'down']);
  assert.equal(steps(DEVICES.nvidia!), ['qkv', 'attention', 'o', 'gateUp', 'down']);
});

test('norms of outputs are a step each, and no more', () => {
  const steps = (name: string) => shortNames(planDecode(planOf({ config: MODELS[name] }), 'greedy'), 1);
  assert.equal(steps('Gemma 3'), ['qkv', 'headNorm', 'attention', 'o', 'oNorm', 'gateUp', 'down', 'downNorm']);
  assert.equal(steps('OLMo 2'), ['qkv', 'headNorm', 'attention', 'o', 'oNorm', 'gateUp', 'down', 'downNorm']);
  assert.equal(steps('SmolLM 3'), ['qkv', 'attention', 'o', 'gateUp', 'down']);
});

test('layers have the window and the turns that are theirs', () => {
  const attention = (name: string, step: string, layer: number) =>
    planDecode(planOf({ config: MODELS[name] }), 'none').find((one) => one.name === `layers.${layer}.${step}`)!;
  assert.equal(
    [0, 1].map((layer) => attention('Gemma 3', 'attention', layer).spec.WINDOW),
    [8, 0],
  );
  assert.equal(
    [0, 1].map((layer) => attention('Gemma 3', 'headNorm', layer).buffers.rope),
    ['localRope', 'rope'],
  );
  assert.equal(
    [0, 1].map((layer) => attention('SmolLM 3', 'qkv', layer).spec.ROPE),
    ['pairs', 'none'],
  );
});

test('a pass without a choice ends with the logits, a prompt pass that is not the last with its body', () => {
  const plan = planOf({});
  assert.is(planDecode(plan, 'none').at(-1)?.name, 'logits');
  assert.is(planPrefill(plan, 4, undefined).at(-1)?.name, 'layers.1.down');
  assert.equal(
    planPrefill(plan, 4, 'noise').map(({ name }) => name),
    planDecode(plan, 'noise').map(({ name }) => name),
  );
});

test('a prompt of many tokens has kernels of its own, and attention for all columns at once where it can', () => {
  const kernels = (device: string, columns: number, wishes: Wishes = {}) => {
    const traits = DEVICES[device] as Traits;
    const plan = planOf({ config: LLAMA_2_7B, traits, ...wishes });
    const steps = planPrefill(plan, widthOf(traits, columns, plan.preferences), undefined);
    return ['qkv', 'attention'].map((name) => steps.find((step) => step.name === `layers.0.${name}`)?.kernel);
  };
  assert.equal(kernels('deck', 11), ['gemv-lanes', 'attention']);
  assert.equal(kernels('deck', 12), ['gemm-tiles', 'flash-tiles']);
  assert.equal(kernels('deck', 512, { kv: 'q8' }), ['gemm-tiles', 'flash-tiles']);
  assert.equal(kernels('matrix', 512, { kv: 'q8' }), ['gemm-matrix', 'attention']);
  assert.equal(kernels('deck', 512, { preferences: { arithmetic: 'f32' } }), ['gemm-tiles', 'attention']);
  assert.equal(kernels('deck', 512, { config: SMALL_LLAMA }), ['gemm-tiles', 'attention'], 'heads of 16');
  assert.equal(kernels('matrix', 512), ['gemm-matrix', 'flash-matrix']);
  assert.equal(kernels('matrix', 512, { preferences: { many: 'tiles' } }), ['gemm-tiles', 'flash-tiles']);
  assert.equal(kernels('plain', 512), ['gemm-tiles', 'attention']);
  assert.equal(kernels('software', 512), ['gemv-rows', 'attention']);
  const small = { ...DECK, limits: { ...DECK.limits, maxWorkgroupBytes: 16384 } };
  assert.is(widthOf(small, 512, {}), 4, 'tiles need more workgroup memory than that');
});

/** All plans that a session of these options may compile. */
function allPlans(plan: PlanOptions): readonly (readonly Step[])[] {
  const choices: readonly Choice[] = ['greedy', 'noise', 'top', 'none'];
  const widths = [4, 'some', 'many'] as const;
  return [
    ...choices.map((choice) => planDecode(plan, choice)),
    planDecode(plan, 'greedy', {}, 100_000),
    planBatch(plan, 4),
    ...widths.map((width) => planPrefill(plan, width, 'greedy')),
  ];
}

function checkSteps(plan: PlanOptions, steps: readonly Step[], where: string): void {
  const buffers = new Map([...weightBuffers(plan.weights), ...sessionBuffers(plan)].map((spec) => [spec.name, spec]));
  const { maxStorageBuffers, maxWorkgroupThreads, maxWorkgroupsPerDimension } = plan.traits.limits;
  assert.is(new Set(steps.map(({ name }) => name)).size, steps.length, `${where}: names are unique`);
  const forms = new Map<string, string>(); // what each activation buffer holds by now
  for (const { name, kernel, spec, buffers: bound, grid } of steps) {
    const at = `${where}: ${name}`;
    const { bindings } = specialise(kernel, spec);
    const most = bound.added ? 11 : 10; // merged steps are for GPUs that bind more
    assert.ok(bindings.length <= Math.min(maxStorageBuffers, most), `${at} has ${bindings.length} bindings`);
    const written = bindings.filter(({ access }) => access === 'read_write').map((binding) => bound[binding.name]);
    for (const binding of bindings) {
      const buffer = bound[binding.name];
      assert.ok(buffer && buffers.has(buffer), `${at}: ${binding.name} is bound to ${buffer}`);
      const times = bindings.filter((other) => bound[other.name] === buffer).length;
      assert.ok(times === 1 || !written.includes(buffer), `${at} writes ${buffer} and binds it twice`);
    }
    const depth = typeof grid.z === 'number' ? grid.z : grid.z.SPLITS;
    for (const size of [grid.x, depth]) assert.ok(size > 0 && size <= maxWorkgroupsPerDimension, at);
    const threads = Number(spec.THREADS ?? spec.TILE ?? 32);
    assert.ok(threads >= 32 && threads <= maxWorkgroupThreads, `${at} has ${threads} threads`);
    if (spec.DOT !== undefined && bound.x_codes !== undefined) {
      const form = { f32: 'f32', mix: 'f16', i8: 'i8' }[String(spec.DOT).split('-')[0] as Arithmetic];
      assert.is(forms.get(String(bound.x_codes)), `${form} x ${spec.BLOCKS}`, `${at}: blocks of ${bound.x_codes}`);
    }
    if (spec.STORE !== undefined)
      forms.set(String(bound.y_codes), `${String(spec.STORE).replace('-lanes', '')} x ${spec.Y_BLOCKS}`);
  }
}

for (const [device, traits] of Object.entries(DEVICES)) {
  test(`${device}: kernels specialise, all they bind is listed, and every product finds its input in its own form`, () => {
    for (const [name, config] of Object.entries(MODELS)) {
      const small = { ...config, layers: 2, vocab: Math.min(config.vocab, 1000) };
      for (const arithmetic of [undefined, 'i8', 'mix', 'f32'] as const) {
        for (const weights of ['native', 'f16', 'mixed'] as const) {
          const plan = planOf({ config: small, traits, weights, preferences: { arithmetic, splits: 8 } });
          for (const steps of allPlans(plan))
            checkSteps(plan, steps, `${name}, ${arithmetic ?? 'default'} arithmetic, ${weights} weights`);
        }
      }
      if (config.headDim % 8 > 0) continue;
      const plan = planOf({ config: small, traits, kv: 'q8', preferences: { splits: 8 } });
      for (const steps of allPlans(plan)) checkSteps(plan, steps, `${name}, q8 cache`);
    }
  });
}

test('matrices that exceed a binding get a step for each part, each writing rows of its own', () => {
  const maxBindingBytes = 2048;
  const plan = planOf({ maxBindingBytes });
  const steps = planDecode(plan, 'greedy');
  checkSteps(plan, steps, 'parts');
  for (const { name, bytes } of weightBuffers(plan.weights))
    assert.ok(bytes <= maxBindingBytes, `${name}: ${bytes} bytes`);
  const parts = steps.filter(({ name }) => name.startsWith('layers.0.gateUp'));
  assert.equal(
    parts.map(({ name }) => name),
    ['layers.0.gateUp/0', 'layers.0.gateUp/1', 'layers.0.gateUp/2'],
  );
  let row = 0;
  for (const { spec, grid } of parts) {
    assert.is(spec.FIRST_ROW, row);
    row += grid.x * Number(spec.TILE);
  }
  assert.is(row, 2 * SMALL_LLAMA.feedForward);
  assert.ok(steps.filter(({ kernel }) => kernel === 'embed').length > 1);
});

test("what attention's teams leave fits workgroup memory, with any heads on any device", () => {
  for (const [device, traits] of Object.entries(DEVICES)) {
    for (const maxWorkgroupBytes of [32768, 65536]) {
      const limited = { ...traits, limits: { ...traits.limits, maxWorkgroupBytes } };
      for (const headDim of [16, 80, 128, 256]) {
        for (const heads of [1, 4, 8]) {
          const { LANES, MERGED, THREADS, TOGETHER } = chooseAttention(limited, { headDim, heads, kvHeads: 1 });
          const bytes = TOGETHER * (THREADS / LANES / MERGED) * (roundUp(headDim, 8) + 2) * 4;
          const where = `${heads} heads of ${headDim} on ${device}: ${bytes} of ${maxWorkgroupBytes} bytes`;
          assert.ok(bytes <= maxWorkgroupBytes / 2 || THREADS === 32, where); // 32 are the fewest that can write a block
        }
      }
    }
  }
});

test('a plan can be printed', () => {
  const steps = planDecode(planOf({}), 'greedy');
  assert.equal(JSON.parse(JSON.stringify(steps)), steps);
});

test('what was measured decides how products are cut, and columns beside each other change nothing along K', () => {
  const tuning = { 'i8-q4 128x64 by 32': { subgroup: 32, rowsEach: 8, split: 1 } };
  const cut = (steps: readonly Step[], name = 'layers.0.qkv') => {
    const { SG, THREADS, K_SPLIT } = steps.find((step) => step.name === name)!.spec;
    return { SG, THREADS, K_SPLIT };
  };
  const plain = planOf({});
  const tuned = planOf({ preferences: { tuning } });
  assert.equal(cut(planDecode(tuned, 'greedy')), { SG: 32, THREADS: 128, K_SPLIT: 1 });
  assert.equal(cut(planDecode(plain, 'greedy')), { SG: 64, THREADS: 256, K_SPLIT: 1 });
  const impossible = planOf({
    preferences: { tuning: { 'i8-q4 128x64 by 32': { subgroup: 128, rowsEach: 4, split: 1 } } },
  });
  assert.equal(cut(planDecode(impossible, 'greedy')), cut(planDecode(plain, 'greedy')), 'a cut of another device');

  for (const [device, traits] of Object.entries(DEVICES)) {
    for (const rows of [512, 4096, 12288]) {
      for (const blocks of [16, 128, 344]) {
        for (const tile of [32, 64] as const) {
          const shape = { rows, blocks, tile, dot: 'i8-q4' };
          const alongK = (columns: number) => {
            const { kernel, spec } = chooseGemv(traits, shape, columns, {});
            return [kernel, spec.SG, spec.K_SPLIT];
          };
          for (const columns of [2, 4])
            assert.equal(alongK(columns), alongK(1), `${rows}x${32 * blocks} by ${tile} on ${device}`);
        }
      }
    }
  }
});

test.run();
