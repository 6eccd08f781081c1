/** What the commands that take a model have in common: which one is meant, flags, opening and closing. */
import { createReadStream, existsSync } from 'node:fs';
import { basename } from 'node:path';
import { openDevice } from '../devices/open.ts';
import type { AdapterInfo, Device, DeviceOptions } from '../devices/types.ts';
import { createDurableSession } from '../engine/durable-session.ts';
import type { LoadOptions, Model } from '../engine/model.ts';
import type { Session } from '../engine/session.ts';
import { randomCheckpoint, SHAPE_NAMES } from '../engine/shapes.ts';
import { streamedBytes } from '../engine/streaming.ts';
import { createTokenizer, requireTokenizer, type Tokenizer } from '../engine/tokenizer.ts';
import { isStored, storeFolder } from '../loaders/hub/store.ts';
import { BUILTIN, MODEL_FILE, openModel, openModelVocab } from '../loaders/named.ts';
import type { Checkpoint } from '../loaders/types.ts';
import { FirstlightError } from '../quant/errors.ts';
import { type Flags, UsageError, type Values } from './arguments.ts';
import { formatBudget } from './memory-lines.ts';
import { mebibytes, note, startProgress } from './output.ts';
import { TUNING_FLAGS, tuningFor, tuningMode } from './tuning.ts';

export const ABOUT_MODEL =
  "MODEL is a folder in Hugging Face's layout or MLC's, a GGUF, safetensors, PyTorch, zip or converted file, a name from " +
  '"firstlight list", or builtin for the small model that comes with firstlight, which is also the default.';

export const ABOUT_TEXT =
  'A lone argument is MODEL if there is such a file or folder or it looks like one (a path, or a name ending in .gguf, ' +
  '.safetensors, .firstlight or .zip), else it is the text. The text - is read from standard input.';

/** Of commands that measure speed. */
export const SHAPE_FLAG = {
  shape: {
    kind: 'text',
    placeholder: 'SHAPE',
    about: `random weights of a known shape instead of a file: ${SHAPE_NAMES.join(', ')}`,
  },
  type: {
    kind: 'text',
    placeholder: 'TYPE',
    about: 'type of the random weights, as in GGUF files, or Q4_K_M; default Q4_0',
  },
} as const satisfies Flags;

/** The model to measure: random weights of a shape, a file, or the built-in one. */
export async function openMeasured(
  { shape, type }: Values<typeof SHAPE_FLAG>,
  path: string | undefined,
): Promise<Checkpoint> {
  if (shape) return randomCheckpoint(shape, type);
  if (type) throw new UsageError('--type is for random weights: give a --shape too');
  return openModel(path ?? BUILTIN);
}

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

/** Of commands that load a model. */
export const MODEL_FLAGS = { ...PLACEMENT_FLAGS, ...TUNING_FLAGS } as const satisfies Flags;

export type ModelFlags = Values<typeof MODEL_FLAGS>;

/** Tells MODEL and the text behind it apart where both may be left out. */
export function splitOperands(operands: readonly string[]): { model: string; text: string | undefined } {
  const [first, second] = operands;
  if (second !== undefined) return { model: first!, text: second };
  return first === undefined || isModel(first)
    ? { model: first ?? BUILTIN, text: undefined }
    : { model: BUILTIN, text: first };
}

function isModel(operand: string): boolean {
  if (operand === BUILTIN) return true;
  if (operand === '' || operand === '-') return false;
  return (
    /^(\.{1,2}|~)?\/\S/.test(operand) ||
    MODEL_FILE.test(operand) ||
    /^\S+\/\S*$/.test(operand) ||
    existsSync(operand) ||
    isStored(storeFolder(), operand)
  );
}

export function isBuiltin(model: string): boolean {
  return model === BUILTIN;
}

const MOST_INPUT_BYTES = 16 << 20;

/** The text itself, or for `-` what standard input gives, without its last line break. */
export async function readText(text: string): Promise<string> {
  return text === '-' ? readStream(process.stdin, 'standard input') : text;
}

/** A text file without its last line break. Throws `bad-argument`, with the name of the flag, where it cannot be read. */
export async function readTextFile(path: string, flag: string): Promise<string> {
  try {
    return await readStream(createReadStream(path), path);
  } catch (cause) {
    if (cause instanceof FirstlightError) throw cause;
    throw new FirstlightError('bad-argument', `${flag}: ${path} cannot be read (${(cause as Error).message})`, {
      cause,
    });
  }
}

async function readStream(stream: AsyncIterable<Buffer>, what: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MOST_INPUT_BYTES)
      throw new FirstlightError('bad-argument', `${what} has more than ${mebibytes(MOST_INPUT_BYTES)}: shorten it`);
  }
  return Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}

/** An adapter's number or a part of its name. */
export function wantedAdapter({ adapter }: Values<typeof ADAPTER_FLAG>): DeviceOptions['adapter'] {
  return adapter !== undefined && /^\d+$/.test(adapter) ? Number(adapter) : adapter;
}

export function openAdapter(flags: Values<typeof ADAPTER_FLAG>): Promise<Device> {
  return openDevice({ adapter: wantedAdapter(flags), onNotice: (line) => note(`firstlight: ${line}`) });
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

/** Opens a model for `work` and closes all behind it. Unless `quiet`, stderr is told what runs where. */
export async function withSession(
  model: string,
  flags: ModelFlags & { readonly quiet?: boolean | undefined },
  signal: AbortSignal,
  work: (session: Session) => Promise<void>,
): Promise<void> {
  // damaged files before the GPU: that error is the quicker and the more useful one
  const checkpoint = await openModel(model);
  try {
    let progress = startProgress('loading', 'bytes');
    const session = await createDurableSession({
      checkpoint,
      openDevice: () => openAdapter(flags),
      load: { ...loadOptions(flags), onProgress: (done, total) => progress.update(done, total), signal },
      session: async (loaded) => {
        progress.end();
        return { tuning: await tuningFor(loaded, tuningMode(flags)) };
      },
      onFault(line) {
        progress.end();
        progress = startProgress('loading', 'bytes');
        note(`firstlight: ${line}`);
      },
    }).finally(() => progress.end());
    try {
      if (!flags.quiet) note(describePlacement(session));
      const streaming = describeStreaming(session.model);
      if (streaming) note(`firstlight: ${streaming}`);
      await work(session);
    } finally {
      await session.close();
    }
  } finally {
    await checkpoint.close();
  }
}

function describePlacement({ model, context }: Session): string {
  const { weights, kv } = model.memory();
  const place = describeAdapter(model.device.traits);
  return (
    `${basename(model.path)} on ${place}: weights ${mebibytes(weights)} (${model.weightsOption}), ` +
    `KV ${mebibytes(kv)} (${model.kv}), context ${context}; at load ${formatBudget(model.plan.budget)}`
  );
}

/** Where not all fits; undefined where it does. */
export function describeStreaming({ stream, plan, weights, config }: Model): string | undefined {
  if (!stream) return undefined;
  const bytes = streamedBytes(weights, plan.residentLayers);
  const { bytesPerSecond } = stream;
  const { wholeContext } = plan;
  const advice = wholeContext > 0 ? `; with a context of at most ${wholeContext} all would fit` : '';
  return (
    `not all of the model fits: ${config.layers - plan.residentLayers} of ${config.layers} layers, ${mebibytes(bytes)}, are ` +
    `brought to the GPU for every token, at ${mebibytes(bytesPerSecond)}/s by the first of them: ` +
    `about ${(bytesPerSecond / bytes).toFixed(2)} tok/s${advice}`
  );
}

/** `NAME, DRIVER`, and a warning where it is no GPU. */
export function describeAdapter({ name, driver, software }: Pick<AdapterInfo, 'name' | 'driver' | 'software'>): string {
  return `${name}, ${driver}${software ? ` (software: ${SOFTWARE})` : ''}`;
}

/** What a driver is that plays GPU. */
export const SOFTWARE = 'CPU, not a GPU: slow';

/** A tokenizer without the model's weights. */
export async function openTokenizer(model: string): Promise<Tokenizer> {
  const vocab = await openModelVocab(model);
  return requireTokenizer(vocab && createTokenizer(vocab), model);
}

/** A token's text, or its bytes as `<0xE2><0x96>` where they are no whole characters. */
export function pieceOf(tokenizer: Tokenizer, id: number): string {
  const bytes = tokenizer.bytes(id);
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  if (Buffer.from(text).equals(bytes)) return text;
  return Array.from(bytes, (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`).join('');
}

/** Throws UsageError for an operand that a command cannot do without though it may stand alone. */
export function requireText(text: string | undefined): string {
  if (text === undefined) throw new UsageError('TEXT is missing');
  return text;
}
