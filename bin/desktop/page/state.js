/** What the page knows: conversations, settings, and the server's state as its events tell it. */
import { call } from './api.js';
import { newConversation } from './branches.js';

/** @typedef {import('./branches.js').Conversation} Conversation */

/**
 * @typedef {object} Settings
 * @property {'auto' | 'dark' | 'light'} theme
 * @property {number} textSize of 1
 * @property {string} system for new conversations
 * @property {string} model the last that was chosen
 * @property {number} temperature
 * @property {number} topP
 * @property {number} topK
 * @property {number} minP
 * @property {number} repeatPenalty
 * @property {number} maxTokens 0 = no limit
 * @property {string} seed '' = another each time
 */

/** @type {Settings} */
export const DEFAULT_SETTINGS = {
  theme: 'auto',
  textSize: 1,
  system: '',
  model: '',
  temperature: 0.8,
  topP: 0.95,
  topK: 40,
  minP: 0,
  repeatPenalty: 1,
  maxTokens: 0,
  seed: '',
};

/**
 * @typedef {object} ServerState
 * @property {'ok' | 'loading' | 'recovering' | 'failed' | 'draining' | 'away'} status
 * @property {string | null} reason
 * @property {number} deviceLosses
 * @property {{ name: string, doneBytes: number, totalBytes: number } | null} loading
 * @property {{ name: string, context: number, slots: number, leases: number }[]} models
 * @property {Record<string, number>} memory
 * @property {number} tokens
 * @property {number} running
 * @property {number} queued
 * @property {number | null} watts
 * @property {{ name: string, state: 'running' | 'done' | 'failed', doneBytes: number, totalBytes?: number, message?: string }[]} pulls
 */

/** @typedef {{ id: string, title: string, updated: string }} Summary */

export const state = {
  settings: { ...DEFAULT_SETTINGS },
  conversation: newConversation(),
  /** @type {Summary[]} */
  summaries: [],
  /** @type {ServerState} */
  server: {
    status: 'away',
    reason: null,
    deviceLosses: 0,
    loading: null,
    models: [],
    memory: {},
    tokens: 0,
    running: 0,
    queued: 0,
    watts: null,
    pulls: [],
  },
  /** Names of all models; filled when it is first wanted. @type {string[]} */
  models: [],
  /** Answers that are being made, by conversation. @type {Map<string, AbortController>} */
  answers: new Map(),
  keyboard: false,
  /** Why something is not on disk yet; '' when all is. */
  saveProblem: '',
};

/** @typedef {'conversation' | 'conversations' | 'server' | 'settings' | 'answers'} Topic */

/** @type {Map<Topic, (() => void)[]>} */
const listeners = new Map();

/**
 * @param {Topic} topic
 * @param {() => void} listener
 */
export function onChange(topic, listener) {
  listeners.set(topic, [...(listeners.get(topic) ?? []), listener]);
}

/** @param {Topic} topic */
export function changed(topic) {
  for (const listener of listeners.get(topic) ?? []) listener();
}

const CURRENT = 'firstlight-conversation';

/** @param {Conversation} conversation */
export function showConversation(conversation) {
  state.conversation = conversation;
  sessionStorage.setItem(CURRENT, conversation.id);
  changed('conversation');
}

/** Loads settings, the list, and the conversation that this window showed last. */
export async function loadAll() {
  const saved = await call('/app/settings');
  state.settings = { ...DEFAULT_SETTINGS, .../** @type {Partial<Settings>} */ (saved) };
  changed('settings');
  await loadList();
  const id = sessionStorage.getItem(CURRENT);
  const known = state.summaries.find((summary) => summary.id === id);
  if (known) await openConversation(known.id);
  else changed('conversation');
}

export async function loadList() {
  const { conversations } = /** @type {{ conversations: Summary[] }} */ (await call('/app/conversations'));
  state.summaries = conversations;
  changed('conversations');
}

/** @param {string} id */
export async function openConversation(id) {
  showConversation(await call(`/app/conversations/${id}`));
}

const RETRY_MS = 3000;
/** What is still to be written, by its path: one after another, each as it is by then. @type {Map<string, object>} */
const unsaved = new Map();
let writing = false;

/**
 * Writes something to disk; what cannot be written is told and tried again.
 *
 * @param {string} path
 * @param {object} value
 */
async function keep(path, value) {
  unsaved.set(path, value);
  if (writing) return;
  writing = true;
  try {
    for (const [next, latest] of unsaved) {
      unsaved.delete(next);
      try {
        await call(next, { method: 'PUT', body: latest });
      } catch (error) {
        if (!unsaved.has(next)) unsaved.set(next, latest);
        throw error;
      }
    }
    tellProblem('');
  } catch (error) {
    tellProblem(`Not saved yet: ${error instanceof Error ? error.message : error}. It is tried again.`);
    setTimeout(() => {
      const [first] = unsaved;
      if (first) void keep(...first);
    }, RETRY_MS);
  } finally {
    writing = false;
  }
}

/** @param {string} problem */
function tellProblem(problem) {
  if (state.saveProblem === problem) return;
  state.saveProblem = problem;
  changed('server');
}

/**
 * Keeps a conversation on disk.
 *
 * @param {Conversation} conversation
 * @param {{ leaving?: boolean }} [options] leaving: the page is about to go, so that nothing can wait
 */
export async function saveConversation(conversation, { leaving = false } = {}) {
  if (conversation.messages.length === 0) return;
  if (conversation === state.conversation) sessionStorage.setItem(CURRENT, conversation.id);
  conversation.updated = new Date().toISOString();
  const { id, title, updated } = conversation;
  state.summaries = [{ id, title, updated }, ...state.summaries.filter((summary) => summary.id !== id)];
  changed('conversations');
  const path = `/app/conversations/${id}`;
  // browsers send no more than 64 KiB then: of longer ones the last two seconds may be missing
  if (leaving) await call(path, { method: 'PUT', body: conversation, keepalive: true }).catch(() => {});
  else await keep(path, conversation);
}

/** @param {string} id */
export async function removeConversation(id) {
  state.answers.get(id)?.abort();
  unsaved.delete(`/app/conversations/${id}`);
  await call(`/app/conversations/${id}`, { method: 'DELETE' });
  state.summaries = state.summaries.filter((summary) => summary.id !== id);
  if (state.conversation.id === id) showConversation(newConversation());
  changed('conversations');
}

/** @param {Partial<Settings>} change */
export async function changeSettings(change) {
  state.settings = { ...state.settings, ...change };
  changed('settings');
  await keep('/app/settings', state.settings);
}

/** The model that the next answer is asked of: the conversation's, the last chosen, one that is loaded, or the first. */
export function currentModel() {
  const { conversation, settings, server, models } = state;
  const wanted = [conversation.model, settings.model].filter(
    (name) => name && (models.length === 0 || models.includes(name)),
  );
  return wanted[0] ?? server.models[0]?.name ?? models[0] ?? '';
}
