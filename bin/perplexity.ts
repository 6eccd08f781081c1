/** `firstlight perplexity`: how well a model foretells a text. */
import { measurePerplexity } from '../engine/perplexity.ts';
import { requireTokenizer } from '../engine/tokenizer.ts';
import { decodeUtf8 } from '../loaders/json.ts';
import { BUILTIN } from '../loaders/named.ts';
import { fileSource } from '../loaders/source.ts';
import { FirstlightError } from '../quant/errors.ts';
import { defineCommand, UsageError } from './arguments.ts';
import { ABOUT_MODEL, readText } from './model.ts';
import { MODEL_FLAGS } from './model-flags.ts';
import { mebibytes, print, printJson, startProgress } from './output.ts';
import { withSession } from './session.ts';

const DEFAULT_CONTEXT = 512;
const MOST_BYTES = 64 << 20;

export const perplexity = defineCommand({
  operands: ['[MODEL]', 'FILE'],
  about: [
    'Prints exp of the mean negative log-likelihood of the tokens of FILE, a text (- for standard input). It is read in windows of ' +
      '--ctx tokens, each --stride behind the one before; a window scores the tokens that none before it has scored. Control tokens ' +
      'that FILE spells are text. Values compare only at the same --ctx and --stride; the defaults are those of llama-perplexity.',
    ABOUT_MODEL,
  ],
  flags: {
    stride: {
      kind: 'number',
      whole: true,
      least: 1,
      most: 2 ** 31 - 1,
      about: 'tokens between the beginnings of windows (default half of --ctx)',
    },
    ...MODEL_FLAGS,
    ctx: { ...MODEL_FLAGS.ctx, least: 2, about: `tokens of a window (default ${DEFAULT_CONTEXT})` },
    json: {
      kind: 'switch',
      about: 'one JSON object: perplexity, error, nll, tokens, bitsPerByte, windows, stride, context',
    },
    quiet: { kind: 'switch', short: 'q', about: 'no placement on stderr' },
  },
  async run(values, operands, signal) {
    const file = operands.at(-1);
    if (file === undefined) throw new UsageError('FILE is missing');
    const text = await readFile(file);
    const flags = { ...values, ctx: values.ctx ?? DEFAULT_CONTEXT };
    await withSession(operands.length > 1 ? operands[0]! : BUILTIN, flags, signal, async (session) => {
      const tokenizer = requireTokenizer(session.model.tokenizer, session.model.path);
      const ids = tokenizer.encode(text, { special: false, bos: false });
      const progress = startProgress('reading');
      const result = await measurePerplexity(session, ids, {
        stride: values.stride,
        signal,
        onProgress: progress.update,
      }).finally(progress.end);
      const { context } = session;
      if (values.json) return printJson({ ...result, context });
      const { tokens, windows, stride, nll, bitsPerByte } = result;
      print(
        `perplexity ${result.perplexity.toFixed(4)} +- ${result.error.toFixed(4)} (${nll.toFixed(5)} nats a token` +
          `${bitsPerByte === undefined ? '' : `, ${bitsPerByte.toFixed(4)} bits a byte`}; ${tokens} tokens, ` +
          `${windows} windows of ${context}, stride ${stride})\n`,
      );
    });
  },
});

async function readFile(path: string): Promise<string> {
  if (path === '-') return readText(path);
  const source = await fileSource(path);
  try {
    if (source.size > MOST_BYTES)
      throw new FirstlightError('bad-argument', `${path} has more than ${mebibytes(MOST_BYTES)}: take a part of it`);
    return decodeUtf8(await source.read(0, source.size), path);
  } finally {
    await source.close();
  }
}
