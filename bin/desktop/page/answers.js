/** Asking the server for answers, and taking them in. */
import { events } from './api.js';
import { addMessage, branchOf, titleOf } from './branches.js';
import { changed, currentModel, saveConversation, state } from './state.js';

/** @typedef {import('./branches.js').Conversation} Conversation */
/** @typedef {import('./branches.js').Message} Message */

const SAVE_MS = 2000;

/** How far each prompt is read, from 0 to 1, by the answer's id. @type {Map<string, number>} */
export const promptProgress = new Map();

/**
 * @typedef {object} Chunk
 * @property {{ delta: { content?: string, reasoning_content?: string }, finish_reason: string | null }[]} choices
 * @property {{ processed: number, total: number }} [prompt_progress]
 * @property {{ prompt_tokens: number, completion_tokens: number }} [usage]
 * @property {number} [dropped_messages]
 * @property {{ predicted_n: number, predicted_per_second: number | null, prompt_n: number, prompt_ms: number }} [timings]
 */

/**
 * Adds what the user says behind `parent` and asks for the answer.
 *
 * @param {Conversation} conversation
 * @param {string} content
 * @param {string | null} [parent] default: the end of the branch that is shown
 */
export async function say(conversation, content, parent = conversation.leaf) {
  if (conversation.title === '') conversation.title = titleOf(content);
  const { id } = addMessage(conversation, { parent, role: 'user', content });
  await answer(conversation, id);
}

/**
 * Asks for an answer to the user's message called `parent`.
 *
 * @param {Conversation} conversation
 * @param {string} parent
 */
export async function answer(conversation, parent) {
  state.answers.get(conversation.id)?.abort();
  const model = currentModel();
  const branch = branchOf(conversation, parent);
  const message = addMessage(conversation, { parent, role: 'assistant', content: '', model });
  const abort = new AbortController();
  state.answers.set(conversation.id, abort);
  changed('answers');
  changed('conversation');
  let savedMs = performance.now();
  await saveConversation(conversation);
  try {
    /** @type {AsyncGenerator<Chunk>} */
    const chunks = events('/v1/chat/completions', {
      body: requestOf(conversation, branch, model),
      signal: abort.signal,
    });
    for await (const chunk of chunks) {
      take(message, chunk);
      changed('conversation');
      if (performance.now() - savedMs > SAVE_MS) {
        savedMs = performance.now();
        void saveConversation(conversation);
      }
    }
    message.finish ??= 'failed';
  } catch (error) {
    message.finish = abort.signal.aborted ? 'stopped' : 'failed';
    if (!abort.signal.aborted) message.error = error instanceof Error ? error.message : String(error);
  } finally {
    promptProgress.delete(message.id);
    if (state.answers.get(conversation.id) === abort) state.answers.delete(conversation.id);
    changed('answers');
    changed('conversation');
    await saveConversation(conversation);
  }
}

/**
 * @param {Conversation} conversation
 * @param {Message[]} branch
 * @param {string} model
 */
function requestOf(conversation, branch, model) {
  const { settings } = state;
  const system = conversation.system ?? settings.system;
  const said = branch.filter(({ content }) => content !== '').map(({ role, content }) => ({ role, content }));
  return {
    model,
    messages: [...(system === '' ? [] : [{ role: 'system', content: system }]), ...said],
    temperature: settings.temperature,
    top_p: settings.topP,
    top_k: settings.topK,
    min_p: settings.minP,
    repeat_penalty: settings.repeatPenalty,
    ...(settings.maxTokens > 0 && { max_tokens: settings.maxTokens }),
    ...(settings.seed !== '' && { seed: Number(settings.seed) }),
    stream: true,
    stream_options: { include_usage: true },
    return_progress: true,
    truncation: 'auto',
  };
}

/**
 * @param {Message} message
 * @param {Chunk} chunk
 */
function take(message, { choices, prompt_progress: progress, usage, timings, dropped_messages: dropped }) {
  if (progress) promptProgress.set(message.id, progress.total > 0 ? progress.processed / progress.total : 1);
  for (const { delta, finish_reason: finish } of choices) {
    promptProgress.delete(message.id);
    message.content += delta.content ?? '';
    if (delta.reasoning_content) message.reasoning = (message.reasoning ?? '') + delta.reasoning_content;
    if (finish) message.finish = finish === 'length' ? 'length' : 'stop';
  }
  if (dropped) message.dropped = dropped;
  if (usage && timings)
    message.stats = {
      tokens: timings.predicted_n,
      tokensPerSecond: timings.predicted_per_second,
      promptTokens: timings.prompt_n,
      promptMs: timings.prompt_ms,
    };
}

/** Ends the answer that is being made in a conversation. @param {Conversation} conversation */
export function stopAnswer(conversation) {
  state.answers.get(conversation.id)?.abort();
}
