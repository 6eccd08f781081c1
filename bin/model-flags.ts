/** The flags of commands that have to do with a GPU or a model on it, and what they mean for the engine. */
import type { DeviceOptions } from '../devices/types.ts';
import type { LoadOptions } from '../engine/model.ts';
import type { Flags, Values } from './arguments.ts';

export const ADAPTER_FLAG = {
  adapter: {
    kind: 'text',
    placeholder: 'NAME',
    about: 'GPU to use: part of its name, or its number in "firstlight devices" (default the fastest)',
  },
} as const satisfies Flags;

/** How a model lies in the memory of the GPU. */
export const PLACEMENT_FLAGS = {
  ...ADAPTER_FLAG,
  weights: {
    kind: 'choice',
    choices: ['native', 'f32', 'f16', 'q8', 'q4'],
    about: "weights on the GPU (default native, the file's own; q4 for float models above 100 M parameters)",
  },
  kv: {
    kind: 'choice',
    choices: ['f16', 'q8', 'f32'],
    about: 'form of the KV cache (default f16, f32 with --exact; q8 takes about half of f16)',
  },
  exact: { kind: 'switch', about: 'f32 arithmetic and KV cache: slower, results to the last digits' },
  ctx: {
    kind: 'number',
    whole: true,
    least: 1,
    most: 2 ** 31 - 1,
    words: ['auto', 'largest'],
    about:
      "positions of the context (default auto: the model's, at most 4096, less where memory is short; largest: all that fit)",
  },
  margin: {
    kind: 'number',
    whole: true,
    least: 0,
    most: 2 ** 31 - 1,
    about: 'MiB of free memory to leave to other programs (default 512 on a GPU)',
  },
  memory: { kind: 'size', about: 'most memory to take on the GPU, such as 4GiB (default what is free but the margin)' },
  'no-stream': {
    kind: 'switch',
    about: 'refuse a model that does not fit instead of bringing some layers to the GPU for every token',
  },
  overcommit: { kind: 'switch', about: 'load even what does not fit the memory that is free' },
} as const satisfies Flags;

export const TUNING_FLAGS = {
  'no-tune': { kind: 'switch', about: 'use no measured kernel variants' },
  retune: { kind: 'switch', about: 'measure the kernel variants for this GPU anew' },
} as const satisfies Flags;

/** Of commands that load a model. */
export const MODEL_FLAGS = { ...PLACEMENT_FLAGS, ...TUNING_FLAGS } as const satisfies Flags;

export type ModelFlags = Values<typeof MODEL_FLAGS>;

/** An adapter's number or a part of its name. */
export function wantedAdapter({ adapter }: Values<typeof ADAPTER_FLAG>): DeviceOptions['adapter'] {
  return adapter !== undefined && /^\d+$/.test(adapter) ? Number(adapter) : adapter;
}

export function loadOptions(flags: Values<typeof PLACEMENT_FLAGS>): LoadOptions {
  const { weights, kv, exact, ctx, margin, memory, overcommit } = flags;
  return {
    weights,
    kv,
    arithmetic: exact ? 'f32' : undefined,
    context: ctx,
    marginBytes: margin === undefined ? undefined : margin * 2 ** 20,
    memoryBytes: memory,
    stream: !flags['no-stream'],
    overcommit,
  };
}

/** `auto`: measure once for each device and kernel version; `never`: neither measure nor read; `again`: measure anew. */
export type TuningMode = 'auto' | 'never' | 'again';

export function tuningMode(values: Values<typeof TUNING_FLAGS>): TuningMode {
  if (values['no-tune']) return 'never';
  return values.retune ? 'again' : 'auto';
}
