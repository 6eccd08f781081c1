/** What some checkpoints store under other names or in other pieces than model-tensors.ts asks for. */
import { madeTensor, type StoredTensor } from './container.ts';
import type { LlamaConfig } from './types.ts';

/** The text part of models that see pictures, under the names of models that do not; the rest stays as it is. */
export function languageTensors(stored: ReadonlyMap<string, StoredTensor>): ReadonlyMap<string, StoredTensor> {
  const renamed = new Map<string, StoredTensor>();
  // transformers 4 and the hub say language_model.model.layers, transformers 5 itself model.language_model.layers
  for (const [name, tensor] of stored) {
    const [, inner] = /^(?:language_model\.model|model\.language_model)\.(.+)$/.exec(name) ?? [];
    renamed.set(
      inner === undefined ? name.replace(/^language_model\.lm_head\./, 'lm_head.') : `model.${inner}`,
      tensor,
    );
  }
  return renamed;
}

/**
 * Takes apart the matrices that Phi-3 stores as one: q, k and v below each other, and gate above up (which GGUF files call up).
 * A matrix whose rows are not those of its parts stays whole, for selectTensors to find.
 */
export function separateTensors(
  stored: ReadonlyMap<string, StoredTensor>,
  config: LlamaConfig,
): ReadonlyMap<string, StoredTensor> {
  const queries = config.heads * config.headDim;
  const keys = config.kvHeads * config.headDim;
  const { feedForward } = config;
  const fused: readonly [RegExp, readonly (readonly [name: string, rows: number])[]][] = [
    [
      /^(model\.layers\.\d+\.self_attn\.)qkv_proj\.weight$/,
      [
        ['q_proj', queries],
        ['k_proj', keys],
        ['v_proj', keys],
      ],
    ],
    [
      /^(model\.layers\.\d+\.mlp\.)(?:gate_up|up)_proj\.weight$/,
      [
        ['gate_proj', feedForward],
        ['up_proj', feedForward],
      ],
    ],
  ];
  const separate = new Map<string, StoredTensor>();
  for (const [name, tensor] of stored) {
    const [pattern, parts] = fused.find(([pattern]) => pattern.test(name)) ?? [];
    const total = parts?.reduce((sum, [, rows]) => sum + rows, 0);
    if (!pattern || !parts || tensor.shape.length !== 2 || tensor.shape[0] !== total) {
      separate.set(name, tensor);
      continue;
    }
    let firstRow = 0;
    for (const [part, rows] of parts) {
      separate.set(name.replace(pattern, `$1${part}.weight`), rowsOf(tensor, firstRow, rows));
      firstRow += rows;
    }
  }
  return separate;
}

function rowsOf(tensor: StoredTensor, firstRow: number, rows: number): StoredTensor {
  const part = madeTensor(tensor.type, [rows, ...tensor.shape.slice(1)], (first, count, into) =>
    tensor.readRows(firstRow + first, count, into),
  );
  return { ...part, order: tensor.order };
}
