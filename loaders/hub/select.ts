/** Which of a model's files are needed. */
import { FirstlightError } from '../../quant/errors.ts';

export interface Selection {
  /** Tells several GGUF files of one model apart in its short name; undefined for the model in its own layout. */
  readonly variant: string | undefined;
  /** Paths in the model. */
  readonly files: readonly string[];
  /** The file to open; undefined: the folder. */
  readonly main: string | undefined;
}

/** Which GGUF is taken of several, the first that there is: small with little loss first, then larger, then smaller. */
const PREFERRED = [
  'Q4_K_M',
  'Q4_0',
  'Q4_K_S',
  'Q5_K_M',
  'Q5_0',
  'Q6_K',
  'Q8_0',
  'IQ4_XS',
  'IQ4_NL',
  'Q3_K_M',
  'BF16',
  'F16',
];

const QUANTISATION = /(?:^|[-._/])((?:I?Q\d|TQ\d|MXFP\d)[A-Z0-9_]*|BF16|FP?16|FP?32)(?=[-._/]|$)/gi;
const SHARD = /-(\d{5})-of-(\d{5})\.gguf$/;

/** Beside the weights: all that the readers look at. */
const SMALL_FILES: ReadonlySet<string> = new Set([
  ...['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer.model', 'tokenizer_config.json'],
  ...['special_tokens_map.json', 'added_tokens.json', 'chat_template.jinja', 'chat_template.json'],
  ...['quantize_config.json', 'quant_config.json', 'mlc-chat-config.json', 'LICENSE', 'LICENSE.txt', 'NOTICE'],
]);

/**
 * Chooses one GGUF file (with its shards) if a variant is asked for or nothing else is there; otherwise safetensors, an MLC
 * export or a PyTorch checkpoint, in this order, with configuration and tokenizer.
 *
 * @param paths all files of the model
 * @param variant quantisation (`Q4_K_M`) or file name
 * @throws `bad-argument` for a variant that is not there, `unsupported-model` for a model without weights that are read
 */
export function selectFiles(name: string, paths: readonly string[], variant: string | undefined): Selection {
  const ggufs = paths.filter((path) => path.endsWith('.gguf') && !/(^|\/)(mmproj|imatrix)|imatrix/i.test(path));
  // a model in shards is known by its first one
  const firsts = ggufs.filter((path) => (SHARD.exec(path)?.[1] ?? '00001') === '00001');
  if (variant !== undefined) {
    const found = firsts.filter((path) => fits(path, variant));
    const [main] = found.sort((a, b) => a.length - b.length);
    if (main !== undefined) return selectGguf(name, ggufs, main);
    const there = [...new Set(firsts.map(quantisationOf))].join(', ');
    throw new FirstlightError(
      'bad-argument',
      `${name} has no GGUF file ${variant}: ${there === '' ? 'it has none at all; leave the part behind : out' : `there are ${there}`}`,
    );
  }
  const weights = findWeights(paths);
  if (weights.length > 0) {
    const small = paths.filter((path) => SMALL_FILES.has(path));
    return { variant: undefined, files: [...small, ...weights], main: undefined };
  }
  const ranked = firsts.map((path) => ({ path, rank: rankOf(path) })).sort((a, b) => a.rank - b.rank);
  const best = ranked[0];
  if (best === undefined)
    throw new FirstlightError(
      'unsupported-model',
      `${name} has no weights that firstlight reads (safetensors, GGUF, MLC or pytorch_model.bin)`,
    );
  return selectGguf(name, ggufs, best.path);
}

function selectGguf(name: string, ggufs: readonly string[], main: string): Selection {
  const shard = SHARD.exec(main);
  let files = [main];
  if (shard) {
    const stem = main.slice(0, shard.index);
    const count = Number(shard[2]);
    files = Array.from({ length: count }, (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${shard[2]}.gguf`);
    const missing = files.find((file) => !ggufs.includes(file));
    if (missing !== undefined)
      throw new FirstlightError('download-failed', `${name} has no ${missing}, a shard of ${main}`);
  }
  return { variant: quantisationOf(main), files, main };
}

/** The quantisation that a file's name tells, else the name itself. */
export function quantisationOf(path: string): string {
  const found = [...path.replace(SHARD, '.gguf').matchAll(QUANTISATION)].at(-1)?.[1];
  return found?.toUpperCase() ?? (path.split('/').at(-1) ?? path).replace(/\.gguf$/, '');
}

function fits(path: string, variant: string): boolean {
  if (/\.gguf$/i.test(variant)) return path === variant || path.split('/').at(-1) === variant;
  return quantisationOf(path).toUpperCase() === variant.toUpperCase();
}

function rankOf(path: string): number {
  const rank = PREFERRED.indexOf(quantisationOf(path));
  return rank < 0 ? PREFERRED.length : rank;
}

/** Weights in the model's own layout, all at its top. */
function findWeights(paths: readonly string[]): string[] {
  const top = paths.filter((path) => !path.includes('/'));
  const safetensors = top.filter((path) => /^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/.test(path));
  if (safetensors.some((path) => path.endsWith('.safetensors'))) return safetensors;
  const others = top.filter((path) => path.endsWith('.safetensors') && !/^(consolidated|adapter)/.test(path));
  if (others.length === 1) return others;
  const cache = top.filter((path) => /^(ndarray|tensor)-cache\.json$/.test(path));
  if (cache.length > 0) return [...cache, ...top.filter((path) => /^params_shard_\d+\.bin$/.test(path))];
  return top.filter((path) => /^pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?$/.test(path));
}
