/** Every kernel in every weight format and arithmetic compiles for RDNA 2 and RDNA 3, and none spills registers. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { repackSpec } from '../../engine/upload.ts';
import {
  type Arithmetic,
  chooseAttention,
  codesSpec,
  dotSpec,
  mostColumns,
  weightSpec,
} from '../../engine/variants.ts';
import { chooseProjected } from '../../engine/variants-merged.ts';
import { FILE_TYPES, type FileType } from '../../quant/file-types.ts';
import { type Format, isQuantised, QUANTISED, type QuantisedFormat } from '../../quant/layout.ts';
import { type ShaderName, type Spec, specialise } from '../../shaders/specialise.ts';
import { compileKernels, DECK, hasDeckCompiler } from '../deck.ts';

const test = suite('spills');

const QUANTISED_FORMATS = Object.keys(QUANTISED) as QuantisedFormat[];
const DOTS: readonly (readonly [Arithmetic, Format])[] = [
  ...(['f32', 'f16', 'bf16'] as const).map((format) => ['f32', format] as const),
  ...(['f32', 'i8', 'mix'] as const).flatMap((arithmetic) =>
    QUANTISED_FORMATS.map((format) => [arithmetic, format] as const),
  ),
];
const LANES = { SG: 64, THREADS: 256, K_SPLIT: 1, SIZE: 'fixed' };
const EMBED = { SCALE: 1, GAIN: 'vector', STORE: 'i8-lanes', Y_BLOCKS: 128 };
const KV = { KV: 'f16', KV_HEADS: 8, HEAD_STRIDE: 128 };
const HEADS = { QUERY: 'f32', HEAD_DIM: 128, Q_ROWS: 4096, KV_ROWS: 1024, ROPE: 'pairs', ROPE_DIM: 128, ...KV };
// what Gemma 2 adds
const CAPPED = { CAPPED: 'tanh', CAP: 50 };

function allKernels(): { label: string; code: string }[] {
  const list: { label: string; code: string }[] = [];
  const add = (kernel: ShaderName, what: string, spec: Spec) =>
    list.push({ label: `${kernel} ${what}`, code: specialise(kernel, spec).code });
  for (const [arithmetic, format] of DOTS) {
    const DOT = `${arithmetic}-${format}`;
    const product = {
      ...dotSpec(arithmetic, format),
      BLOCKS: 128,
      FIRST_ROW: 0,
      OUTPUTS: false,
      NORM: 'none',
      TILE: 32,
    };
    for (const COLS of [1, mostColumns(format)]) {
      const residual = { ...product, COLS, EPILOGUE: 'residual', STORE: 'f32', Y_BLOCKS: 128 };
      add('gemv-lanes', `${DOT} ${COLS} columns`, { ...residual, ...LANES });
      // one row a thread needs few registers, whatever the format
      if (/q4$|q8$|32$/.test(format)) add('gemv-rows', `${DOT} ${COLS} columns`, residual);
    }
  }
  for (const format of QUANTISED_FORMATS)
    add('gemm-tiles', `i8-${format}`, {
      ...{ TILES: 'i8', ...codesSpec(format), FUSED: true, COLS: 64, TILE: 32, ROWS: 4096, BLOCKS: 128, FIRST_ROW: 0 },
      ...{ OUTPUTS: false, NORM: 'none', EPILOGUE: 'residual', STORE: 'i8-lanes', Y_BLOCKS: 128 },
    });
  const product = { ...LANES, ...dotSpec('i8', 'q4'), COLS: 1, BLOCKS: 128, FIRST_ROW: 0, OUTPUTS: false };
  for (const [STORE, ACTIVATION] of [
    ['f32', 'silu'],
    ['f16', 'silu'],
    ['i8', 'gelu'],
    ['i8-lanes', 'silu'],
    ['i8-lanes', 'gelu'],
  ] as const)
    add('gemv-lanes', `gate ${STORE} ${ACTIVATION}`, {
      ...product,
      ACTIVATION,
      TILE: 64,
      THREADS: 512,
      NORM: 'none',
      EPILOGUE: 'gate',
      STORE,
      Y_BLOCKS: 344,
    });
  const normed = { ...product, TILE: 32, NORM: 'rms', HIDDEN: 4096, EPSILON: 1e-5 };
  for (const BIAS of ['none', 'add']) {
    add('gemv-lanes', `qkv, bias ${BIAS}`, { ...normed, EPILOGUE: 'qkv', BIAS, ...HEADS });
    for (const EPILOGUE of ['plain', 'measured'])
      add('gemv-lanes', `${EPILOGUE}, bias ${BIAS}`, { ...normed, EPILOGUE, BIAS, OUT_ROWS: 6144 });
  }
  add('gemv-lanes', 'capped logits', { ...normed, EPILOGUE: 'logits', VOCAB: 256000, ...CAPPED });
  for (const GROUP of [1, 4, 8])
    for (const cache of ['f16', 'q8', 'f32'])
      add('attention', `${GROUP} heads to a kv head, ${cache}`, {
        ...chooseAttention(DECK, { headDim: 128, heads: 8 * GROUP, kvHeads: 8 }),
        HEAD_DIM: 128,
        GROUP,
        KV_GROUP: 1,
        Q_ROWS: 8 * GROUP * 128,
        WINDOW: 0,
        SCALE: 0.1,
        CAPPED: 'none',
        OUT: 'whole',
        STORE: 'i8-lanes',
        Y_BLOCKS: 8 * GROUP * 4,
        ...KV,
        KV: cache,
        ...(cache === 'q8' ? { KV_BLOCK: 32 } : {}),
      });
  for (const format of QUANTISED_FORMATS)
    add('attention', `with the output projection in ${format}`, {
      ...chooseProjected(DECK, { headDim: 128, heads: 32 }),
      ...{ SHARE: 'lanes', HEAD_DIM: 128, Q_ROWS: 4096, WINDOW: 0, SCALE: 0.1, CAPPED: 'none', ...KV },
      ...{ OUT: 'projected', ...dotSpec('i8', format), ACT: 'i8-head' },
      ...{ BLOCKS: 128, SHARED_BY: 4, OUT_QUADS: 1024 },
    });
  add('gemv-lanes', 'of the residual stream', {
    ...normed,
    ACT: 'i8-residual',
    EPILOGUE: 'plain',
    BIAS: 'none',
    OUT_ROWS: 32,
  });
  add('gemv-lanes', 'to a residual stream in fixed point', {
    ...{
      ...product,
      TILE: 32,
      NORM: 'none',
      EPILOGUE: 'residual',
      RESIDUAL: 'fixed',
      STORE: 'i8-lanes',
      Y_BLOCKS: 128,
    },
  });
  add('gemv-lanes', 'of the residual stream and what is to be added', {
    ...{
      ...normed,
      ACT: 'i8-residual',
      ADDED: 'apart',
      TOUCH: 'weights',
      EPILOGUE: 'plain',
      BIAS: 'none',
      OUT_ROWS: 32,
    },
  });
  for (const format of QUANTISED_FORMATS)
    add('feed-forward', format, {
      ...{ SLICE: 2, SG: 64, THREADS: 1024, SIZE: 'fixed', BLOCKS: 128, DOWN_BLOCKS: 344, OUT_QUADS: 1024 },
      ...{ HIDDEN: 4096, EPSILON: 1e-5, ACTIVATION: 'silu', ...dotSpec('i8', format), ACT: 'i8-residual' },
      ...Object.fromEntries(Object.entries(codesSpec(format)).map(([key, value]) => [`DOWN_${key}`, value])),
    });
  const q8 = { ...HEADS, KV: 'q8', KV_BLOCK: 32 };
  for (const HEAD_DIM of [64, 96, 128])
    for (const cache of [{ KV: 'f16' }, { KV: 'q8', KV_BLOCK: 32 }] as Spec[])
      add('flash-tiles', `heads of ${HEAD_DIM}, ${cache.KV}`, {
        ...{ HEAD_DIM, GROUP: 4, Q_ROWS: 32 * HEAD_DIM, WINDOW: 4096, ...CAPPED },
        ...{ ...cache, KV_HEADS: 8, HEAD_STRIDE: HEAD_DIM, STORE: 'i8-lanes', Y_BLOCKS: HEAD_DIM },
      });
  add('gemv-lanes', 'qkv, q8 cache', { ...normed, EPILOGUE: 'qkv', BIAS: 'none', ...q8 });
  for (const GROUP of [1, 2, 4])
    add('attention', `heads of 256, ${GROUP} to a kv head`, {
      ...chooseAttention(DECK, { headDim: 256, heads: 4 * GROUP, kvHeads: 4 }),
      ...{ HEAD_DIM: 256, GROUP, KV_GROUP: 1, Q_ROWS: 4 * GROUP * 256, WINDOW: 4096, SCALE: 0.1, ...CAPPED },
      ...{ OUT: 'whole', STORE: 'i8-lanes', Y_BLOCKS: 4 * GROUP * 8, KV: 'f16', KV_HEADS: 4, HEAD_STRIDE: 256 },
    });
  add('gather', '', { BLOCKS: 128, STORE: 'i8-lanes', Y_BLOCKS: 128 });
  for (const SCOPE of ['head', 'all']) add('head-norm', SCOPE, { ...HEADS, SCOPE, EPSILON: 1e-6 });
  for (const cache of [KV, { KV: 'q8', KV_BLOCK: 32, KV_HEADS: 8, HEAD_STRIDE: 128 }])
    add('kv-shift', cache.KV, { ...cache, ROPE: 'pairs', ROPE_DIM: 128 });
  add('head-norm', 'q8 cache', { ...q8, SCOPE: 'head', EPSILON: 1e-6 });
  for (const GAIN of ['vector', 'none'])
    add('post-norm', GAIN, { GAIN, HIDDEN: 3584, EPSILON: 1e-6, STORE: 'i8-lanes', Y_BLOCKS: 112 });
  for (const format of ['f32', 'f16', 'bf16', ...QUANTISED_FORMATS] as const)
    add('embed', format, { ...weightSpec(format), BLOCKS: 128, FIRST_ROW: 0, PART_ROWS: 32000, ...EMBED });
  for (const CHOICE of ['greedy', 'noise', 'top']) add('select', CHOICE, { CHOICE, VOCAB: 128256, THREADS: 256 });
  const choosing = { VOCAB: 128256, THREADS: 256 };
  add('edit', '', { ...choosing, MOST_EDITS: 5120 });
  add('rank', '', choosing);
  add('report', '', { VOCAB: 128256 });
  for (const [type, { format }] of Object.entries(FILE_TYPES) as [FileType, { format: Format }][])
    if (isQuantised(format)) add('repack', type, repackSpec(type, format));
  return list;
}

const compiled = hasDeckCompiler() ? test : test.skip;
if (!hasDeckCompiler()) console.log('spills.test.ts: 2 tests skipped, no compiler for the Deck');

for (const family of ['VANGOGH', 'NAVI31']) {
  compiled(`no kernel spills on ${family}`, async () => {
    const spilling = (await compileKernels(allKernels(), family)).filter(({ spills }) => spills > 0);
    assert.equal(
      spilling.map(({ label, spills }) => `${label}: ${spills}`),
      [],
    );
  });
}

test.run();
