/** Opening and closing dialogs, and asking before something is lost. */
import { button, byId, element } from './elements.js';

/**
 * Fills a dialog and opens it. The focus goes back to where it was when it closes.
 *
 * @param {string} id
 * @param {string} title
 * @param {...(Node | string)} content
 * @returns {HTMLDialogElement}
 */
export function openDialog(id, title, ...content) {
  const dialog = /** @type {HTMLDialogElement} */ (byId(id));
  const close = button({ icon: 'close', label: 'Close', class: 'quiet square', onclick: () => dialog.close() });
  dialog.replaceChildren(
    element('header', {}, element('h2', { id: `${id}-title` }, title), close),
    element('div', { class: 'content' }, ...content),
  );
  if (!dialog.open) dialog.showModal();
  // beside the dialog is out of it
  dialog.onclick = (event) => {
    if (event.target === dialog) dialog.close();
  };
  return dialog;
}

/**
 * Asks yes or no; resolves to whether it was yes.
 *
 * @param {string} title
 * @param {string} text
 * @param {string} yes
 * @returns {Promise<boolean>}
 */
export function ask(title, text, yes) {
  return new Promise((resolve) => {
    let answer = false;
    const dialog = openDialog(
      'question',
      title,
      element('p', {}, text),
      element(
        'div',
        { class: 'row end' },
        button({ label: 'Cancel', text: 'Cancel', onclick: () => dialog.close() }),
        button({
          label: yes,
          text: yes,
          class: 'danger',
          onclick: () => {
            answer = true;
            dialog.close();
          },
        }),
      ),
    );
    dialog.addEventListener('close', () => resolve(answer), { once: true });
  });
}
