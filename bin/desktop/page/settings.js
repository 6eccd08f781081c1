/** Settings: how answers are drawn, what the model is told first, how the page looks. */
import { openDialog } from './dialogs.js';
import { button, byId, element } from './elements.js';
import { changed, changeSettings, DEFAULT_SETTINGS, onChange, saveConversation, state } from './state.js';

/** @typedef {import('./state.js').Settings} Settings */

/**
 * @typedef {object} Slider
 * @property {'temperature' | 'topP' | 'topK' | 'minP' | 'repeatPenalty' | 'maxTokens' | 'textSize'} key
 * @property {string} name
 * @property {string} about
 * @property {number} least
 * @property {number} most
 * @property {number} step
 * @property {string} [atLeast] what the least value means
 */

/** @type {Slider[]} */
const SAMPLING = [
  {
    key: 'temperature',
    name: 'Temperature',
    about: 'higher is more varied, 0 always the most probable',
    least: 0,
    most: 2,
    step: 0.05,
  },
  {
    key: 'topP',
    name: 'Top-p',
    about: 'only the most probable that together have this share',
    least: 0.05,
    most: 1,
    step: 0.05,
  },
  { key: 'topK', name: 'Top-k', about: 'only the k most probable', least: 0, most: 200, step: 1, atLeast: 'all' },
  {
    key: 'minP',
    name: 'Min-p',
    about: 'only those at least this probable beside the best',
    least: 0,
    most: 0.5,
    step: 0.01,
    atLeast: 'off',
  },
  {
    key: 'repeatPenalty',
    name: 'Repetition penalty',
    about: 'makes what was said less probable',
    least: 1,
    most: 2,
    step: 0.05,
    atLeast: 'off',
  },
  { key: 'maxTokens', name: 'Longest answer', about: 'in tokens', least: 0, most: 4096, step: 64, atLeast: 'no limit' },
];

/** @type {Slider} */
const TEXT_SIZE = { key: 'textSize', name: 'Text size', about: '', least: 0.8, most: 1.8, step: 0.1 };

export function startSettings() {
  onChange('settings', applyLook);
  byId('open-settings').addEventListener('click', openSettings);
}

function applyLook() {
  const { theme, textSize } = state.settings;
  document.documentElement.dataset.theme = theme;
  document.documentElement.style.fontSize = `${Math.round(16 * textSize)}px`;
}

function openSettings() {
  openDialog(
    'settings',
    'Settings',
    element('h3', {}, 'What the model is told first'),
    systemField('system-default', 'In new conversations', state.settings.system, (system) =>
      changeSettings({ system }),
    ),
    systemField(
      'system-own',
      'In this conversation',
      state.conversation.system ?? state.settings.system,
      async (system) => {
        state.conversation.system = system;
        await saveConversation(state.conversation);
      },
    ),
    element('h3', {}, 'How answers are drawn'),
    ...SAMPLING.map(slider),
    seedField(),
    element('h3', {}, 'Look'),
    themeChoice(),
    slider(TEXT_SIZE),
    element(
      'div',
      { class: 'row end' },
      button({
        label: 'Reset to defaults',
        text: 'Reset to defaults',
        onclick: () => {
          const { theme, textSize, model, system } = state.settings;
          void changeSettings({ ...DEFAULT_SETTINGS, theme, textSize, model, system });
          openSettings();
        },
      }),
    ),
  );
}

/**
 * @param {string} id
 * @param {string} label
 * @param {string} value
 * @param {(value: string) => Promise<void>} save
 */
function systemField(id, label, value, save) {
  const field = element('textarea', { id, rows: 2, placeholder: 'You are a helpful assistant.' });
  field.value = value;
  field.addEventListener('change', () => void save(field.value.trim()));
  return element('div', { class: 'field' }, element('label', { for: id }, label), field);
}

/** @param {Slider} slider */
function slider({ key, name, about, least, most, step, atLeast }) {
  const id = `set-${key}`;
  const value = state.settings[key];
  /** @param {number} number */
  const text = (number) =>
    atLeast !== undefined && number === least ? atLeast : String(Math.round(number * 100) / 100);
  const output = element('output', { for: id }, text(value));
  const input = element('input', {
    id,
    type: 'range',
    min: least,
    max: most,
    step,
    value,
    'aria-valuetext': text(value),
  });
  input.addEventListener('input', () => {
    const number = Number(input.value);
    output.textContent = text(number);
    input.setAttribute('aria-valuetext', text(number));
    if (key === 'textSize') {
      state.settings.textSize = number;
      changed('settings');
    }
  });
  input.addEventListener('change', () => void changeSettings({ [key]: Number(input.value) }));
  return element(
    'div',
    { class: 'field slider' },
    element('label', { for: id }, name, about && element('small', {}, about)),
    input,
    output,
  );
}

function seedField() {
  const input = element('input', {
    id: 'set-seed',
    type: 'text',
    inputmode: 'numeric',
    pattern: '[0-9]*',
    placeholder: 'another each time',
  });
  input.value = state.settings.seed;
  input.addEventListener('change', () => {
    input.value = input.value.replace(/\D/g, '').slice(0, 10);
    void changeSettings({ seed: input.value });
  });
  return element(
    'div',
    { class: 'field slider' },
    element('label', { for: 'set-seed' }, 'Seed', element('small', {}, 'the same seed gives the same answer')),
    input,
  );
}

function themeChoice() {
  /** @type {Settings['theme'][]} */
  const themes = ['auto', 'dark', 'light'];
  const group = element(
    'div',
    { class: 'row', role: 'group', 'aria-label': 'Theme' },
    ...themes.map((theme) =>
      button({
        label: theme,
        text: theme,
        class: 'choice',
        pressed: state.settings.theme === theme,
        onclick: () => {
          void changeSettings({ theme });
          for (const one of group.children) one.setAttribute('aria-pressed', String(one.textContent === theme));
        },
      }),
    ),
  );
  return group;
}
