/**
 * Measures which cut of the matrix-vector kernel is fastest for each shape of a model on the device at hand. The model's own
 * layers are read by turns, so that no cache holds a matrix from one run to the next, and a cut only wins after its result
 * agreed with the portable kernel's.
 */
import { createTimer, type Timer } from '../devices/timing.ts';
import type { Device } from '../devices/types.ts';
import { assert } from '../quant/errors.ts';
import { compileSteps, dispatchSteps, type Program, recordPass } from './encode.ts';
import type { Model } from './model.ts';
import { planDecode } from './plan.ts';
import { sessionBuffers } from './plan-buffers.ts';
import { encodeState } from './state.ts';
import type { BufferSpec, PlanOptions, Step } from './steps.ts';
import { type GemvCut, listCuts, type Preferences, sameCut, shapeKey, type Tuning, usualCut } from './variants.ts';

export interface TuneOptions {
  /** Wall time after which nothing is begun: the first shape is finished, one that is not by then is left out. Default 2000. */
  readonly budgetMs?: number | undefined;
  /** Shapes that need not be measured again. Default none. */
  readonly known?: Tuning | undefined;
  readonly onShape?: ((report: ShapeReport) => void) | undefined;
}

export interface ShapeReport {
  readonly shape: string;
  readonly candidates: readonly { readonly cut: GemvCut; readonly microseconds: number; readonly wrong: boolean }[];
  readonly best: GemvCut | undefined;
}

const BUDGET_MS = 2000;
/** Different matrices that one measurement goes through: more than any last-level cache in sum, for real models. */
const MOST_MATRICES = 12;
const ROUNDS = 4;
/** Dispatches behind one another in a measurement, as in a real pass: the time of one is their share. */
const MOST_DISPATCHES = 256;
/** GPUs clock up from idle. */
const WARM_UP_MS = 300;
/** A cut takes the place of the usual one only if it is this much faster: less is noise. */
const CLEARLY = 0.9;
/** Sums in another order differ by far less; a wrong kernel by far more. */
const TOLERANCE = 1e-3;
/** The output by which results are compared, for each epilogue. */
const OUTPUTS: Readonly<Record<string, string>> = {
  qkv: 'q',
  plain: 'raw',
  residual: 'residual',
  gate: 'h.meta',
  up: 'h.meta',
  logits: 'logits',
};

/** Tunes the products of a model's decode pass; an empty tuning where the device has no timestamps or no choice. */
export async function tune(model: Model, options: TuneOptions = {}): Promise<Tuning> {
  const { device, config, weights } = model;
  const timer = createTimer(device, 4);
  if (!timer) return {};
  const budgetEndMs = performance.now() + (options.budgetMs ?? BUDGET_MS);
  const planFor = (preferences: Preferences): PlanOptions => ({
    config,
    weights,
    traits: device.traits,
    // attention whole and by itself: a product that joins its parts would be measured with parts that nothing has left
    preferences: { ...model.preferences, splits: 1, merged: false, ...preferences },
    kv: model.kv,
    context: 64,
    chunk: 1,
    slots: 1,
  });
  const buffers = new Map<string, GPUBuffer>();
  const tuning: Record<string, GemvCut> = {};
  try {
    const list: readonly BufferSpec[] = sessionBuffers(planFor({}));
    for (const { name, bytes, purpose } of list) buffers.set(name, device.buffer(name, bytes, purpose));
    const find = (name: string) => buffers.get(name) ?? model.buffer(name);
    const portable = planDecode(planFor({ gemv: 'rows' }), 'none').filter((step) => step.shape);
    const groups = new Map<string, Step[]>();
    for (const step of portable) {
      assert(step.shape, 'products have shapes');
      const key = shapeKey(step.shape);
      if (!options.known?.[key]) groups.set(key, [...(groups.get(key) ?? []), step]);
    }
    if (groups.size === 0) return {};
    const all = await compileSteps(device, portable, find);
    const warmUntil = performance.now() + WARM_UP_MS;
    while (performance.now() < warmUntil) await timeSteps(device, timer, all);
    let endMs = Number.POSITIVE_INFINITY; // the first shape is finished, so that every load finds something out
    for (const [key, steps] of groups) {
      const report = await tuneShape(model, timer, key, steps.slice(0, MOST_MATRICES), find, planFor, endMs);
      if (!report) break;
      if (report.best) tuning[key] = report.best;
      options.onShape?.(report);
      endMs = budgetEndMs;
    }
    return tuning;
  } finally {
    timer.close();
    for (const buffer of buffers.values()) device.free(buffer);
    await device.settle();
  }
}

/** Measures all cuts of a shape; undefined if they are not done by `endMs`, since the best of some may be worse than the usual one. */
async function tuneShape(
  model: Model,
  timer: Timer,
  key: string,
  portable: readonly Step[],
  find: (name: string) => GPUBuffer | undefined,
  planFor: (preferences: Preferences) => PlanOptions,
  endMs: number,
): Promise<ShapeReport | undefined> {
  const { device } = model;
  const shape = portable[0]?.shape;
  assert(shape, 'a group has a product');
  const names = new Set(portable.map((step) => step.name));
  const program = (cut: GemvCut) => {
    const options = planFor({ gemv: 'lanes', tuning: { [key]: cut } });
    const steps = planDecode(options, 'none').filter((step) => names.has(step.name));
    return compileSteps(device, steps, find);
  };
  const isLate = () => performance.now() > endMs;
  if (isLate()) return undefined;
  const cuts = listCuts(device.traits, shape);
  const [reference, ...programs] = await Promise.all([compileSteps(device, portable, find), ...cuts.map(program)]);
  const truth = await resultOf(model, reference, portable, find);

  const right: { cut: GemvCut; program: Program }[] = [];
  const candidates: { cut: GemvCut; microseconds: number; wrong: boolean }[] = [];
  for (const [i, cut] of cuts.entries()) {
    if (isLate()) return undefined;
    const candidate = programs[i];
    assert(candidate, 'every cut has a program');
    const wrong = !agrees(await resultOf(model, candidate, portable, find), truth);
    candidates.push({ cut, wrong, microseconds: Number.POSITIVE_INFINITY });
    if (!wrong) right.push({ cut, program: candidate });
  }
  // by turns, so that a clock that drifts meanwhile is the same for all
  for (let round = 0; round < ROUNDS; round++) {
    for (const { cut, program } of right) {
      if (isLate()) return undefined;
      const candidate = candidates.find((other) => other.cut === cut);
      assert(candidate, 'right candidates are candidates');
      candidate.microseconds = Math.min(candidate.microseconds, await timeSteps(device, timer, program));
    }
  }
  const usual = usualCut(device.traits, shape);
  const best = candidates.reduce<(typeof candidates)[number] | undefined>((a, b) => {
    if (b.wrong) return a;
    return !a || b.microseconds < a.microseconds ? b : a;
  }, undefined);
  const standard = candidates.find(({ cut, wrong }) => !wrong && sameCut(cut, usual));
  const isClear = best && (!standard || best.microseconds < CLEARLY * standard.microseconds);
  return { shape: key, candidates, best: isClear ? best.cut : (standard ?? best)?.cut };
}

/** Microseconds of one of a program's steps when they run one behind the other, over and over. */
async function timeSteps(device: Device, timer: Timer, program: Program): Promise<number> {
  const turns = Math.max(1, Math.floor(MOST_DISPATCHES / program.steps.length));
  const encoder = device.gpu.createCommandEncoder();
  const pass = timer.pass(encoder, 'steps');
  for (let turn = 0; turn < turns; turn++) dispatchSteps(pass, program.steps, { columns: 1, outputs: 1 });
  pass.end();
  timer.resolve(encoder);
  device.gpu.queue.submit([encoder.finish()]);
  const [time] = await timer.read();
  assert(time, 'the pass was timed');
  return time.microseconds / (turns * program.steps.length);
}

/** What the first step of a program makes of a fixed input. */
async function resultOf(
  model: Model,
  program: Program,
  steps: readonly Step[],
  find: (name: string) => GPUBuffer | undefined,
): Promise<Float32Array> {
  const { device } = model;
  const step = steps[0];
  const first = program.steps[0];
  assert(step && first && step.name === first.name, 'both programs start with the same step');
  const outputName = OUTPUTS[String(step.spec.EPILOGUE)] ?? '';
  const output = find(outputName);
  const codes = find(step.buffers.x_codes ?? '');
  const meta = find(step.buffers.x_meta ?? '');
  const state = find('state');
  assert(output && codes && meta && state, `${step.name} has its buffers`);
  await device.upload(state, 0, encodeState([{ position: 0, slot: 0 }], [0], 64, false));
  await device.upload(codes, 0, fixedCodes(codes.size / 4, String(step.spec.DOT)));
  await device.upload(
    meta,
    0,
    new Float32Array(meta.size / 4).map((_, i) => [0.01, 0.02, 1, 0][i % 4] as number),
  );
  await device.upload(output, 0, new Float32Array(output.size / 4));
  const encoder = device.gpu.createCommandEncoder();
  recordPass(encoder, { steps: [first] }, { columns: 1, outputs: 1 });
  device.gpu.queue.submit([encoder.finish()]);
  const bytes = await device.read(output, 0, output.size);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** Input blocks of some pattern: small numbers in the form that the arithmetic reads. */
function fixedCodes(words: number, dot: string): Uint32Array {
  if (dot.startsWith('i8'))
    return Uint32Array.from({ length: words }, (_, i) => Math.imul(i + 1, 0x01030507) & 0x7f7f7f7f);
  if (dot.startsWith('mix')) return new Uint32Array(words).fill(0x3c003800); // f16 1.0 and 0.5
  return new Uint32Array(Float32Array.from({ length: words }, (_, i) => ((i * 7) % 13) / 13 - 0.4).buffer);
}

function agrees(got: Float32Array, truth: Float32Array): boolean {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < truth.length; i++) {
    difference += ((got[i] as number) - (truth[i] as number)) ** 2;
    size += (truth[i] as number) ** 2;
  }
  return difference <= TOLERANCE ** 2 * size; // false for NaN too
}
