/** A conversation as a tree: editing or answering again begins a branch beside the old one. Pure functions. */

/**
 * @typedef {object} Message
 * @property {string} id
 * @property {string | null} parent
 * @property {'user' | 'assistant'} role
 * @property {string} content
 * @property {string} [reasoning]
 * @property {string} [model]
 * @property {'stop' | 'length' | 'stopped' | 'failed'} [finish] not there while the answer is being made
 * @property {number} [dropped] messages before it that the model has not read, for lack of context
 * @property {string} [error]
 * @property {{ tokens: number, tokensPerSecond: number | null, promptTokens: number, promptMs: number }} [stats]
 */

/**
 * @typedef {object} Conversation
 * @property {string} id
 * @property {string} title
 * @property {string} created
 * @property {string} updated
 * @property {string} [model]
 * @property {string} [system]
 * @property {Message[]} messages
 * @property {string | null} leaf
 */

/**
 * @param {Conversation} conversation
 * @param {string | null} id
 * @returns {Message | undefined}
 */
export function messageOf({ messages }, id) {
  return id === null ? undefined : messages.find((message) => message.id === id);
}

/**
 * The messages of a branch, from the first to the one called `leaf`.
 *
 * @param {Conversation} conversation
 * @param {string | null} [leaf] default: of the branch that is shown
 * @returns {Message[]}
 */
export function branchOf(conversation, leaf = conversation.leaf) {
  /** @type {Message[]} */
  const branch = [];
  for (let message = messageOf(conversation, leaf); message; message = messageOf(conversation, message.parent)) {
    if (branch.includes(message)) break; // a file that somebody has edited
    branch.unshift(message);
  }
  return branch;
}

/**
 * Messages that stand in the same place in other branches, and it itself.
 *
 * @param {Conversation} conversation
 * @param {Message} message
 * @returns {Message[]}
 */
export function alternativesOf({ messages }, { parent, role }) {
  return messages.filter((other) => other.parent === parent && other.role === role);
}

/**
 * The end of the latest branch through a message.
 *
 * @param {Conversation} conversation
 * @param {string} id
 * @returns {string}
 */
export function leafBelow({ messages }, id) {
  for (let leaf = id, seen = 0; seen <= messages.length; seen++) {
    const next = messages.findLast(({ parent }) => parent === leaf);
    if (!next) return leaf;
    leaf = next.id;
  }
  return id;
}

/**
 * Adds a message and shows its branch.
 *
 * @param {Conversation} conversation
 * @param {Omit<Message, 'id'>} message
 * @returns {Message}
 */
export function addMessage(conversation, message) {
  const added = { id: newId(), ...message };
  conversation.messages.push(added);
  conversation.leaf = added.id;
  return added;
}

/** @returns {string} */
export function newId() {
  return crypto.randomUUID();
}

/**
 * @param {Date} [now]
 * @returns {Conversation}
 */
export function newConversation(now = new Date()) {
  const time = now.toISOString();
  return { id: newId(), title: '', created: time, updated: time, messages: [], leaf: null };
}

const TITLE_LENGTH = 60;

/**
 * The beginning of the first message, cut at a word.
 *
 * @param {string} text
 * @returns {string}
 */
export function titleOf(text) {
  const line = text.trim().replace(/\s+/g, ' ');
  if (line.length <= TITLE_LENGTH) return line;
  const cut = line.slice(0, TITLE_LENGTH);
  const space = cut.lastIndexOf(' ');
  return `${space > TITLE_LENGTH / 2 ? cut.slice(0, space) : cut}\u2026`;
}
