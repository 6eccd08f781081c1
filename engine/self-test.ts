/**
 * The first numbers that a loaded model makes are checked on the CPU: drivers do compute garbage now and then, and a text of
 * it looks like a bad model. What comes out of the layers goes in, some logits must come out: this proves the output matrix's
 * way to the device, its kernels, and that the layers gave numbers at all.
 */
import type { AdapterInfo } from '../devices/types.ts';
import type { Checkpoint, LlamaConfig, TensorInfo } from '../loaders/types.ts';
import { assert, FirstlightError } from '../quant/errors.ts';
import { decodeRows } from '../quant/file-types.ts';
import type { Format } from '../quant/layout.ts';
import { nativeFormat, packRows, unpackRows } from '../quant/pack.ts';
import { outputMatrix, type Weights, type WeightsOption } from './weights.ts';

export interface SelfTest {
  /** No right numbers have been seen yet. */
  readonly pending: boolean;
  /**
   * Compares logits with what the CPU makes of the residual stream that they come from.
   *
   * @param residual of one column behind all layers, [hidden]
   * @param logits of it, before any edits, [vocab]
   * Throws `wrong-result`.
   */
  check(residual: Float32Array, logits: Float32Array): void;
}

/** Rows that are checked at each of three places: the output matrix's start, middle and end. */
const ROWS = 16;
/** Root of the mean square of the differences, relative to that of the logits. Activations of 8 bits cost about 0.01. */
const MOST_ERROR = 0.25;

/** Matrix rows of a tensor as the device sees them, [rows][cols]: rounded to their format there. */
export function deviceValues(
  { type, cols, format: ready }: TensorInfo,
  bytes: Uint8Array,
  rows: number,
  option: WeightsOption,
): Float32Array {
  const native = option === 'native' || option === ready;
  if (native && ready) return decodeRows(type, bytes, rows, cols);
  return unpackRows(packRows(type, bytes, rows, cols, deviceFormat(type, ready, option)));
}

/** The format in which the device has a tensor. */
export function deviceFormat(type: TensorInfo['type'], ready: TensorInfo['format'], option: WeightsOption): Format {
  return option === 'native' || option === ready ? (ready ?? nativeFormat(type)) : option;
}

/** Reads the rows that are to be checked, while the checkpoint is open. */
export async function createSelfTest(
  checkpoint: Pick<Checkpoint, 'config' | 'readRows' | 'path'>,
  weights: Weights,
  option: WeightsOption,
  adapter: Pick<AdapterInfo, 'name' | 'driver'>,
): Promise<SelfTest> {
  const { config, path } = checkpoint;
  const tensor = outputMatrix(config, weights).sections[0]?.tensor;
  const gain = weights.vectors.get('finalGain');
  const gainTensor = gain?.sections[0]?.tensor;
  assert(tensor && gain && gainTensor, 'every model ends with a norm and a matrix');
  const gains = decodeRows(gainTensor.type, await checkpoint.readRows(gainTensor.name, 0, 1), 1, config.hidden);
  const samples: { readonly first: number; readonly values: Float32Array }[] = [];
  const count = Math.min(ROWS, tensor.rows);
  for (const first of new Set([0, (tensor.rows - count) >> 1, tensor.rows - count])) {
    const bytes = await checkpoint.readRows(tensor.name, first, count);
    samples.push({ first, values: deviceValues(tensor, bytes, count, option) });
  }
  let pending = true;

  return {
    get pending() {
      return pending;
    },
    check(residual, logits) {
      const inOrder = normed(residual, gains, gain.offset, config);
      const input = tensor.order ? Float64Array.from(tensor.order, (at) => inOrder[at] as number) : inOrder;
      let difference = 0;
      let size = 0;
      for (const { first, values } of samples)
        for (let row = 0; row < count; row++) {
          let wanted = 0;
          for (let i = 0; i < config.hidden; i++)
            wanted += (values[row * config.hidden + i] as number) * (input[i] as number);
          if (config.logitCap !== undefined) wanted = config.logitCap * Math.tanh(wanted / config.logitCap);
          difference += ((logits[first + row] as number) - wanted) ** 2;
          size += wanted ** 2;
        }
      const error = difference === 0 ? 0 : Math.sqrt(difference / size);
      pending = !(error <= MOST_ERROR); // what is no number is neither
      if (!pending) return;
      throw new FirstlightError(
        'wrong-result',
        `${path} on ${adapter.name}, ${adapter.driver}: the GPU computes wrong numbers, the first logits are ` +
          `${Number.isFinite(error) ? `off by ${Math.round(100 * error)} %` : 'no numbers'}: see "firstlight doctor", update ` +
          'the driver, try another adapter or f32 arithmetic (--exact)',
      );
    },
  };
}

/** The input of the output matrix. */
function normed(
  residual: Float32Array,
  gains: Float32Array,
  offset: number,
  { hidden, normEpsilon }: LlamaConfig,
): Float64Array {
  let squares = 0;
  for (let i = 0; i < hidden; i++) squares += (residual[i] as number) ** 2;
  const factor = 1 / Math.sqrt(squares / hidden + normEpsilon);
  return Float64Array.from(
    { length: hidden },
    (_, i) => (residual[i] as number) * ((gains[i] as number) + offset) * factor,
  );
}
