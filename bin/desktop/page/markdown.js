/** Markdown as elements. Marked only cuts the text into tokens; what becomes of them is decided here, and HTML stays text. */
import { marked } from 'marked';
import { button, element } from './elements.js';

/** @typedef {import('marked').Token} Token */
/** @typedef {import('marked').Tokens.List} List */
/** @typedef {import('marked').Tokens.Table} Table */

/**
 * Shows `text` in `target`. Paragraphs, lists and code blocks that have not changed since the last time stay the elements that
 * they are, so that an answer can grow word by word.
 *
 * @param {HTMLElement & { shown?: string[] }} target
 * @param {string} text
 */
export function showMarkdown(target, text) {
  const tokens = marked.lexer(text).filter(({ type }) => type !== 'space');
  const before = target.shown ?? [];
  let same = 0;
  while (same < tokens.length && same < before.length && tokens[same]?.raw === before[same]) same++;
  while (target.childNodes.length > same) target.lastChild?.remove();
  for (const token of tokens.slice(same)) target.append(block(token));
  target.shown = tokens.map(({ raw }) => raw);
}

/**
 * @param {Token} token
 * @returns {Node}
 */
function block(token) {
  switch (token.type) {
    case 'heading': {
      // the page has its own first headings
      const tag = /** @type {'h3' | 'h4' | 'h5' | 'h6'} */ (`h${Math.min(6, token.depth + 2)}`);
      return element(tag, {}, ...inlines(token.tokens));
    }
    case 'paragraph':
      return element('p', {}, ...inlines(token.tokens));
    case 'text':
      return element('p', {}, ...(token.tokens ? inlines(token.tokens) : [token.raw]));
    case 'code':
      return codeBlock(token.text, token.lang ?? '');
    case 'blockquote':
      return element('blockquote', {}, ...(token.tokens ?? []).map(block));
    case 'list':
      return list(/** @type {List} */ (token));
    case 'table':
      return table(/** @type {Table} */ (token));
    case 'hr':
      return element('hr');
    default:
      return element('p', {}, token.raw);
  }
}

/** @param {List} token */
function list({ ordered, start, items }) {
  const entries = items.map((item) =>
    element(
      'li',
      {},
      ...item.tokens
        .filter(({ type }) => type !== 'space')
        .flatMap((token) => {
          if (token.type === 'checkbox') return [inline(token)];
          if (token.type !== 'text') return [block(token)];
          return inlines('tokens' in token && token.tokens ? token.tokens : [token]);
        }),
    ),
  );
  return ordered
    ? element('ol', { start: start === 1 ? undefined : start }, ...entries)
    : element('ul', {}, ...entries);
}

/** @param {Table} token */
function table({ header, rows, align }) {
  /** @param {number} column */
  const side = (column) => (align[column] ? `to-${align[column]}` : undefined);
  return element(
    'div',
    { class: 'table', tabindex: 0, role: 'region', 'aria-label': 'Table' },
    element(
      'table',
      {},
      element(
        'thead',
        {},
        element(
          'tr',
          {},
          ...header.map((cell, i) => element('th', { scope: 'col', class: side(i) }, ...inlines(cell.tokens))),
        ),
      ),
      element(
        'tbody',
        {},
        ...rows.map((row) =>
          element('tr', {}, ...row.map((cell, i) => element('td', { class: side(i) }, ...inlines(cell.tokens)))),
        ),
      ),
    ),
  );
}

/**
 * @param {string} text
 * @param {string} language
 */
function codeBlock(text, language) {
  const copy = button({
    icon: 'copy',
    label: 'Copy code',
    text: 'Copy',
    class: 'quiet small',
    onclick: () => void copyText(text, copy),
  });
  const name = /^[\w+#.-]+/.exec(language)?.[0] ?? '';
  return element(
    'figure',
    { class: 'code' },
    element('figcaption', {}, element('span', {}, name || 'text'), copy),
    element(
      'pre',
      { tabindex: 0, role: 'region', 'aria-label': `Code${name && `, ${name}`}` },
      element('code', {}, text),
    ),
  );
}

/**
 * Copies, and says so on the button for a moment.
 *
 * @param {string} text
 * @param {HTMLButtonElement} from
 */
export async function copyText(text, from) {
  await navigator.clipboard.writeText(text);
  from.classList.add('done');
  setTimeout(() => from.classList.remove('done'), 1500);
}

/**
 * @param {Token[] | undefined} tokens
 * @returns {(Node | string)[]}
 */
function inlines(tokens) {
  return (tokens ?? []).map(inline);
}

/**
 * @param {Token} token
 * @returns {Node | string}
 */
function inline(token) {
  switch (token.type) {
    case 'strong':
      return element('strong', {}, ...inlines(token.tokens));
    case 'em':
      return element('em', {}, ...inlines(token.tokens));
    case 'del':
      return element('del', {}, ...inlines(token.tokens));
    case 'codespan':
      return element('code', {}, token.text);
    case 'br':
      return element('br');
    case 'link': {
      if (!/^(https?:|mailto:)/i.test(token.href)) return token.raw;
      return element('a', { href: token.href, target: '_blank', rel: 'noopener noreferrer' }, ...inlines(token.tokens));
    }
    case 'escape':
      return token.text;
    case 'checkbox':
      return element('input', { type: 'checkbox', disabled: true, checked: token.checked, 'aria-label': 'done' });
    case 'text':
      return token.tokens ? element('span', {}, ...inlines(token.tokens)) : token.raw;
    default:
      return token.raw; // pictures and HTML
  }
}
