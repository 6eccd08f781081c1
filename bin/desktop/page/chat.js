/** The messages of the branch that is shown, and the field for the next one. */
import { answer, promptProgress, say, stopAnswer } from './answers.js';
import { call } from './api.js';
import { alternativesOf, branchOf, leafBelow } from './branches.js';
import { button, byId, element } from './elements.js';
import { copyText, showMarkdown } from './markdown.js';
import { changed, onChange, saveConversation, state } from './state.js';

/** @typedef {import('./branches.js').Message} Message */

const log = byId('log');
const composer = /** @type {HTMLFormElement} */ (byId('composer'));
const prompt = /** @type {HTMLTextAreaElement} */ (byId('prompt'));

/**
 * The elements of a message, kept while it is shown.
 *
 * @typedef {object} View
 * @property {HTMLElement} article
 * @property {HTMLElement} body
 * @property {HTMLDetailsElement} reasoning
 * @property {HTMLElement} thoughts
 * @property {HTMLElement} foot
 * @property {string} key what the foot was made for
 */

/** @type {Map<string, View>} */
const views = new Map();
/** The message that is being edited. @type {string | undefined} */
let editing;
let shownConversation = '';
let scheduled = false;
/** The log follows what is written until the user scrolls up. */
let following = true;

export function startChat() {
  onChange('conversation', schedule);
  onChange('answers', showComposer);
  log.addEventListener('scroll', () => {
    following = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  });
  composer.addEventListener('submit', (event) => {
    event.preventDefault();
    void submit();
  });
  byId('stop').addEventListener('click', () => {
    stopAnswer(state.conversation);
    prompt.focus();
  });
  prompt.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    void submit();
  });
  prompt.addEventListener('input', fitPrompt);
  prompt.addEventListener('focus', () => {
    if (state.keyboard) void call('/app/keyboard', { method: 'POST', body: {} }).catch(() => {});
  });
  showComposer();
}

async function submit() {
  const text = prompt.value.trim();
  if (text === '' || state.answers.has(state.conversation.id)) return;
  prompt.value = '';
  fitPrompt();
  following = true;
  await say(state.conversation, text);
}

/** As high as its text, up to a third of the window. */
function fitPrompt() {
  prompt.style.height = 'auto';
  prompt.style.height = `${Math.min(prompt.scrollHeight, window.innerHeight / 3)}px`;
}

function showComposer() {
  const busy = state.answers.has(state.conversation.id);
  byId('send').hidden = busy;
  byId('stop').hidden = !busy;
}

/** Shows changes at most once a frame. */
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    show();
  });
}

function show() {
  const { conversation } = state;
  if (conversation.id !== shownConversation) {
    shownConversation = conversation.id;
    editing = undefined;
    views.clear();
    log.replaceChildren();
    following = true;
    showComposer();
  }
  const branch = branchOf(conversation);
  if (branch.length === 0) {
    views.clear();
    log.replaceChildren(welcome());
    return;
  }
  const wanted = branch.map((message) => {
    const view = views.get(message.id) ?? createView(message);
    views.set(message.id, view);
    showMessage(view, message);
    return view.article;
  });
  for (const [id, view] of views) if (!wanted.includes(view.article)) views.delete(id);
  // only what differs is touched, so that the focus stays where it is
  for (const child of [...log.children]) if (!wanted.includes(/** @type {HTMLElement} */ (child))) child.remove();
  for (const [i, article] of wanted.entries())
    if (log.children[i] !== article) log.insertBefore(article, log.children[i] ?? null);
  if (following) log.scrollTop = log.scrollHeight;
}

function welcome() {
  const examples = [
    'Tell me a story about a fox.',
    'Explain what a watchdog timer does.',
    'Write a haiku about the sea.',
  ];
  return element(
    'div',
    { class: 'welcome' },
    element('img', { src: '/icon.svg', alt: '', width: 96, height: 96 }),
    element('h1', {}, 'What shall we talk about?'),
    element('p', {}, 'Everything stays on this machine.'),
    element(
      'div',
      { class: 'examples' },
      ...examples.map((text) =>
        button({ label: text, text, class: 'card', onclick: () => void say(state.conversation, text) }),
      ),
    ),
  );
}

/**
 * @param {Message} message
 * @returns {View}
 */
function createView(message) {
  const isUser = message.role === 'user';
  const body = element('div', { class: 'body' });
  const thoughts = element('div', { class: 'thoughts' });
  const reasoning = element(
    'details',
    { class: 'reasoning', hidden: true },
    element('summary', {}, 'Thinking'),
    thoughts,
  );
  const foot = element('div', { class: 'foot' });
  const article = element(
    'article',
    { class: message.role, tabindex: 0, 'aria-label': isUser ? 'You' : 'Answer' },
    reasoning,
    body,
    foot,
  );
  return { article, body, reasoning, thoughts, foot, key: '' };
}

/**
 * @param {View} view
 * @param {Message} message
 */
function showMessage(view, message) {
  const { conversation } = state;
  const busy = message.role === 'assistant' && message.finish === undefined && state.answers.has(conversation.id);
  if (editing === message.id) return;
  if (message.role === 'user') view.body.textContent = message.content;
  else {
    view.reasoning.hidden = message.reasoning === undefined;
    if (message.reasoning !== undefined) showMarkdown(view.thoughts, message.reasoning);
    showMarkdown(view.body, message.content);
    view.article.setAttribute('aria-busy', String(busy));
  }
  const alternatives = alternativesOf(conversation, message);
  const at = alternatives.indexOf(message);
  const progress = promptProgress.get(message.id);
  const { loading } = state.server;
  const waiting = busy && message.content === '' && message.reasoning === undefined;
  const key = JSON.stringify([
    busy,
    at,
    alternatives.length,
    message.finish,
    message.error,
    message.stats,
    waiting && (progress ?? loading?.doneBytes ?? 0),
  ]);
  if (view.key === key) return;
  view.key = key;
  const focused = view.foot.contains(document.activeElement)
    ? document.activeElement?.getAttribute('aria-label')
    : null;
  view.foot.replaceChildren(
    ...[
      waiting ? waitingLine(progress) : noteOf(message, busy),
      !busy && alternatives.length > 1 && branchButtons(alternatives, at),
      !busy && actions(view, message),
    ].filter((child) => child !== false && child !== undefined),
  );
  if (focused) /** @type {HTMLElement | null} */ (view.foot.querySelector(`[aria-label="${focused}"]`))?.focus();
}

/** @param {number | undefined} progress */
function waitingLine(progress) {
  const { loading } = state.server;
  if (loading) {
    const done = loading.totalBytes > 0 ? loading.doneBytes / loading.totalBytes : 0;
    if (done === 1) return element('span', { class: 'note pulse' }, `Making ${loading.name} ready`);
    return bar(`Loading ${loading.name}`, done);
  }
  return progress === undefined
    ? element('span', { class: 'note pulse' }, 'Waiting')
    : bar('Reading the prompt', progress);
}

/**
 * @param {string} what
 * @param {number} done from 0 to 1
 */
function bar(what, done) {
  const percent = Math.round(100 * done);
  return element(
    'span',
    { class: 'note' },
    `${what} \u00b7 ${percent} % `,
    element('progress', { value: percent, max: 100, 'aria-label': what }),
  );
}

/**
 * @param {Message} message
 * @param {boolean} busy
 */
function noteOf({ finish, error, stats, model, role, dropped }, busy) {
  if (role === 'user' || busy) return undefined;
  if (error) return element('span', { class: 'note problem' }, error);
  const parts = [
    finish === 'stopped' ? 'stopped' : finish === 'length' ? 'cut off here' : finish === undefined ? 'broken off' : '',
    stats?.tokensPerSecond ? `${stats.tokensPerSecond.toFixed(1)} tokens/s` : '',
    stats ? `${stats.tokens} tokens` : '',
    dropped ? `without the ${dropped} oldest messages: the context is full` : '',
    model ?? '',
  ];
  return element('span', { class: 'note' }, parts.filter((part) => part !== '').join(' \u00b7 '));
}

/**
 * @param {Message[]} alternatives
 * @param {number} at
 */
function branchButtons(alternatives, at) {
  const { conversation } = state;
  /** @param {number} to */
  const go = (to) => {
    const target = alternatives[to];
    if (!target) return;
    conversation.leaf = leafBelow(conversation, target.id);
    changed('conversation');
    void saveConversation(conversation);
    requestAnimationFrame(() => views.get(target.id)?.article.focus());
  };
  return element(
    'span',
    { class: 'branches' },
    button({
      icon: 'left',
      label: 'Earlier version',
      class: 'quiet square small',
      disabled: at === 0,
      onclick: () => go(at - 1),
    }),
    element('span', { class: 'note' }, `${at + 1} of ${alternatives.length}`),
    button({
      icon: 'right',
      label: 'Later version',
      class: 'quiet square small',
      disabled: at === alternatives.length - 1,
      onclick: () => go(at + 1),
    }),
  );
}

/**
 * @param {View} view
 * @param {Message} message
 */
function actions(view, message) {
  const { conversation } = state;
  const copy = button({
    icon: 'copy',
    label: 'Copy message',
    class: 'quiet square small',
    onclick: () => void copyText(message.content, copy),
  });
  const again = button({
    icon: 'redo',
    label: 'Answer again',
    class: 'quiet square small',
    onclick: () => message.parent && void answer(conversation, message.parent),
  });
  const edit = button({
    icon: 'edit',
    label: 'Edit message',
    class: 'quiet square small',
    onclick: () => startEdit(view, message),
  });
  return element('span', { class: 'actions' }, message.role === 'user' ? edit : again, copy);
}

/**
 * @param {View} view
 * @param {Message} message
 */
function startEdit(view, message) {
  const { conversation } = state;
  editing = message.id;
  const field = element('textarea', { 'aria-label': 'Edited message', rows: 3 });
  field.value = message.content;
  const end = () => {
    editing = undefined;
    view.key = '';
    view.body.textContent = message.content;
    changed('conversation');
  };
  const save = () => {
    const text = field.value.trim();
    end();
    if (text !== '') void say(conversation, text, message.parent);
  };
  field.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') {
      event.stopPropagation();
      end();
      requestAnimationFrame(() => view.article.focus());
    }
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      save();
    }
  });
  view.body.replaceChildren(field);
  view.foot.replaceChildren(
    button({ icon: 'check', label: 'Send', text: 'Send', class: 'primary', onclick: save }),
    button({ icon: 'close', label: 'Cancel', text: 'Cancel', onclick: end }),
  );
  field.focus();
}

/** Goes on where the focus belongs after a change of conversation. */
export function focusPrompt() {
  prompt.focus();
}
