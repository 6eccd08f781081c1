/** Starts the page. */
import { ApiError, call, events, takeKey } from './api.js';
import { focusPrompt, startChat } from './chat.js';
import { byId, icon } from './elements.js';
import { startMachine } from './machine.js';
import { startModels } from './models.js';
import { startNavigation } from './navigation.js';
import { startSettings } from './settings.js';
import { startSidebar } from './sidebar.js';
import { changed, loadAll, saveConversation, state } from './state.js';

const RECONNECT_MS = 1000;

for (const element of document.querySelectorAll('[data-icon]'))
  element.prepend(icon(/** @type {import('./elements.js').IconName} */ (element.getAttribute('data-icon'))));

startChat();
startSidebar();
startMachine();
startSettings();
startNavigation();
// an answer that is being made is kept as far as it is
addEventListener('pagehide', () => void saveConversation(state.conversation, { leaving: true }));

try {
  await takeKey();
  const { keyboard } = /** @type {{ keyboard: boolean }} */ (await call('/app/about'));
  state.keyboard = keyboard;
  await loadAll();
  startModels();
  focusPrompt();
  void follow();
} catch (error) {
  const banner = byId('banner');
  banner.hidden = false;
  banner.textContent =
    error instanceof ApiError && error.status === 401
      ? 'This window has lost its key. Open firstlight again from where you started it.'
      : `The app cannot start: ${error instanceof Error ? error.message : error}`;
}

/** Takes in the server's state as it changes, for as long as the page is open. */
async function follow() {
  for (;;) {
    try {
      /** @type {AsyncGenerator<import('./state.js').ServerState>} */
      const states = events('/app/events');
      for await (const latest of states) {
        state.server = latest;
        changed('server');
      }
    } catch {
      // the server is gone, or was too busy
    }
    state.server = { ...state.server, status: 'away', reason: null };
    changed('server');
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}
