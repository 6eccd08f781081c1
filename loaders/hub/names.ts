/** How a model to download is named: OWNER/NAME on a hub, with a variant or revision, or the URL of one file. */
import { FirstlightError } from '../../quant/errors.ts';

/** The hub that names mean unless another is given. */
export const DEFAULT_ENDPOINT = 'https://huggingface.co';

/** Other names of it that people paste. */
const SAME_HOSTS: ReadonlySet<string> = new Set(['huggingface.co', 'www.huggingface.co', 'hf.co']);

export type Wanted =
  | {
      readonly kind: 'model';
      /** `OWNER/NAME`, also the folder in the store. */
      readonly name: string;
      readonly revision: string;
      /** Which GGUF file: its quantisation, or its name; undefined for what suits best. */
      readonly variant: string | undefined;
    }
  | {
      readonly kind: 'file';
      /** `HOST/FILE` without the ending, also its name in the store. */
      readonly name: string;
      readonly url: string;
      readonly file: string;
    };

const SEGMENT = '[A-Za-z0-9_][A-Za-z0-9._-]{0,95}';
const NAME = new RegExp(`^(${SEGMENT}(?:/${SEGMENT})?)(?:@([A-Za-z0-9._/-]{1,100}))?(?::([A-Za-z0-9._/-]{1,200}))?$`);

/**
 * Reads what the user names: `OWNER/NAME`, `OWNER/NAME:Q4_K_M`, `OWNER/NAME@REVISION`, a model's page on the hub, or the
 * address of a file.
 *
 * @param endpoint the hub's address
 * @throws `bad-argument`
 */
export function parseName(text: string, endpoint: string): Wanted {
  if (/^https?:\/\//i.test(text)) return parseUrl(text, endpoint);
  const [, name, revision = 'main', variant] = NAME.exec(text.replace(/^hf:\/\//, '')) ?? [];
  if (name === undefined || isUnsafe(name) || isUnsafe(revision) || (variant !== undefined && isUnsafe(variant)))
    throw new FirstlightError(
      'bad-argument',
      `${JSON.stringify(text)} names no model: give OWNER/NAME, OWNER/NAME:Q4_K_M for one of its GGUF files, or a URL`,
    );
  return { kind: 'model', name, revision, variant };
}

function parseUrl(text: string, endpoint: string): Wanted {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw new FirstlightError('bad-argument', `${JSON.stringify(text)} is no valid URL`);
  const isHub = url.host === new URL(endpoint).host || SAME_HOSTS.has(url.host);
  const segments = url.pathname.split('/').filter((segment) => segment !== '');
  const [owner, name, action, revision, ...rest] = segments.map(decodeURIComponent);
  if (isHub && owner !== undefined && name !== undefined) {
    const model = `${owner}/${name}`;
    if (action === undefined && !/\.(gguf|zip)$/i.test(name)) return parseName(model, endpoint);
    if (action === 'tree' && revision !== undefined && rest.length === 0)
      return parseName(`${model}@${revision}`, endpoint);
    if ((action === 'blob' || action === 'resolve') && revision !== undefined && rest.at(-1)?.endsWith('.gguf'))
      return parseName(`${model}@${revision}:${rest.join('/')}`, endpoint);
  }
  const file = segments.map(decodeURIComponent).at(-1);
  if (file === undefined || !isSafeFile(file))
    throw new FirstlightError('bad-argument', `${text} ends in no file's name: give the address of a GGUF or zip file`);
  const host = url.host.replace(/[^A-Za-z0-9.-]/g, '_');
  return { kind: 'file', name: `${host}/${file.replace(/\.(gguf|zip)$/i, '')}`, url: url.href, file };
}

function isUnsafe(path: string): boolean {
  return path.split('/').some((segment) => segment === '' || segment === '.' || segment === '..');
}

/** Whether a path from a server's list may be made below a folder of ours. */
export function isSafeFile(path: string): boolean {
  return path.length <= 300 && path.split('/').every((segment) => /^[\p{L}\p{N}_][\p{L}\p{N} ._+()-]*$/u.test(segment));
}
