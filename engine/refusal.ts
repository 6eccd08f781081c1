/** What is said when a model or a session does not fit. */
import { spendableBytes } from '../devices/budget.ts';
import { findGpu, type Topology } from '../devices/topology.ts';
import type { AdapterInfo } from '../devices/types.ts';
import { FirstlightError } from '../quant/errors.ts';
import type { Fit } from './estimate.ts';
import type { Weights } from './weights.ts';

const MIB = 2 ** 20;

/** Why a need cannot be met, with the numbers and what to change. `weights` tells whether smaller ones would help. */
export function notEnoughMemory(
  path: string,
  fit: Fit,
  adapter: AdapterInfo,
  topology: Topology,
  weights: Weights,
): FirstlightError {
  const { context, bindableContext, budget } = fit;
  if (context > bindableContext) {
    const limit = mib(Math.min(adapter.limits.maxBindingBytes, adapter.limits.maxBufferBytes));
    return new FirstlightError(
      'not-enough-memory',
      `${path}: a context of ${context} needs a buffer above the ${limit} MiB that ${adapter.name} allows for one: ` +
        advise(fit, adapter, topology, weights),
    );
  }
  const total = budget.totalBytes === undefined ? '' : ` of ${mib(budget.totalBytes)} MiB (${budget.rule})`;
  const margin = budget.marginBytes > 0 ? `, of which ${mib(budget.marginBytes)} MiB are left to other programs` : '';
  const free = budget.freeBytes === undefined ? undefined : `${mib(budget.freeBytes)} MiB are free${margin}`;
  const limit = budget.limitBytes === undefined ? undefined : `at most ${mib(budget.limitBytes)} MiB may be taken`;
  const { leastBytes = fit.totalBytes } = fit;
  const least = leastBytes < fit.totalBytes ? `, or ${mib(leastBytes)} MiB with all layers brought for each token` : '';
  const there = [free, limit].filter((part) => part !== undefined).join(', and ');
  return new FirstlightError(
    'not-enough-memory',
    `${path} needs ${describeNeed(fit)} on ${adapter.name}${least}, but${total} ${there}: ` +
      `${advise(fit, adapter, topology, weights)}, or set overcommit to load it all the same`,
  );
}

/** `5719 MiB (weights 3615, KV cache 2048 for a context of 4096, ...)`. */
export function describeNeed({ bytes, totalBytes, context }: Pick<Fit, 'bytes' | 'totalBytes' | 'context'>): string {
  const parts = [
    bytes.weights > 0 ? `weights ${mib(bytes.weights)}` : undefined,
    `KV cache ${mib(bytes.kv)} for a context of ${context}`,
    `activations ${mib(bytes.activations + bytes.state + bytes.readback)}`,
    `staging ${mib(bytes.staging)}`,
    `rounding ${mib(bytes.rounding)}`,
  ];
  return `${mib(totalBytes)} MiB (${parts.filter((part) => part !== undefined).join(', ')})`;
}

/** What to change so that a model or a session fits. */
export function advise(fit: Fit, adapter: AdapterInfo, topology: Topology, weights: Weights): string {
  const { context, kv, largestContext, bindableContext } = fit;
  if (context > bindableContext) return `ask for a context of at most ${bindableContext}`;
  const wide = [...weights.matrices.values()].some(({ parts }) => parts.some(({ format }) => format !== 'q4'));
  const gpu = findGpu(topology, adapter);
  const isDeck = topology.kind === 'steam-deck-lcd' || topology.kind === 'steam-deck-oled';
  const advice: string[] = [];
  if (largestContext > 0 && largestContext < context) advice.push(`ask for a context of at most ${largestContext}`);
  if (kv === 'f32') advice.push('keep the KV cache in f16');
  if (kv === 'f16') advice.push('keep the KV cache in q8');
  if (wide) advice.push('load the weights as q4');
  else if (largestContext === 0) advice.push('use a smaller model');
  const { limitBytes } = fit.budget;
  if (limitBytes !== undefined && spendableBytes(fit.budget) === limitBytes)
    return [...advice, `allow more than ${mib(limitBytes)} MiB`].join(', ');
  advice.push('close other programs');
  if (isDeck && gpu?.vram && gpu.vram.totalBytes < 4096 * MIB)
    advice.push('set "UMA Frame Buffer Size" to 4G in the BIOS');
  return advice.join(', ');
}

/** Whole MiB, rounded up, so that no need looks smaller than it is. */
function mib(bytes: number): number {
  return Math.ceil(bytes / MIB);
}
