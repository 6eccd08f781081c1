/** The list of conversations. */
import { newConversation } from './branches.js';
import { focusPrompt } from './chat.js';
import { ask } from './dialogs.js';
import { button, byId, element } from './elements.js';
import { onChange, openConversation, removeConversation, showConversation, state } from './state.js';

const NARROW = matchMedia('(max-width: 899px)');

export function startSidebar() {
  onChange('conversations', show);
  onChange('conversation', markCurrent);
  byId('new-conversation').addEventListener('click', () => {
    showConversation(newConversation());
    closeIfNarrow();
    focusPrompt();
  });
  byId('toggle-sidebar').addEventListener('click', () => setOpen(document.body.classList.contains('closed')));
  setOpen(!NARROW.matches);
}

/** @param {boolean} open */
function setOpen(open) {
  document.body.classList.toggle('closed', !open);
  byId('toggle-sidebar').setAttribute('aria-expanded', String(open));
}

function closeIfNarrow() {
  if (NARROW.matches) setOpen(false);
}

let shown = '';

function show() {
  const key = JSON.stringify(state.summaries.map(({ id, title }) => [id, title]));
  if (key === shown) return;
  shown = key;
  const list = byId('conversations');
  const focused = document.activeElement?.closest('[data-id]')?.getAttribute('data-id');
  list.replaceChildren(
    ...state.summaries.map(({ id, title }) =>
      element(
        'li',
        { 'data-id': id },
        element(
          'button',
          {
            type: 'button',
            class: 'quiet title',
            onclick: () => {
              void openConversation(id).then(focusPrompt);
              closeIfNarrow();
            },
          },
          title || 'Untitled',
        ),
        button({
          icon: 'trash',
          label: `Delete ${title || 'Untitled'}`,
          class: 'quiet square small',
          onclick: async () => {
            const text = `\u201c${title || 'Untitled'}\u201d with all its branches will be gone for good.`;
            if (await ask('Delete this conversation?', text, 'Delete')) await removeConversation(id);
          },
        }),
      ),
    ),
  );
  if (focused) list.querySelector(`[data-id="${focused}"]`)?.querySelector('button')?.focus();
  markCurrent();
}

function markCurrent() {
  for (const item of byId('conversations').children) {
    const current = item.getAttribute('data-id') === state.conversation.id;
    item.firstElementChild?.setAttribute('aria-current', current ? 'page' : 'false');
  }
}
