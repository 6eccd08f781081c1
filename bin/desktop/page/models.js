/** Choosing a model: which there are, whether each fits this machine, getting others. */
import { call } from './api.js';
import { ask, openDialog } from './dialogs.js';
import { button, byId, element, gibibytes } from './elements.js';
import { sharesBar } from './machine.js';
import { changed, changeSettings, currentModel, onChange, saveConversation, state } from './state.js';

/**
 * @typedef {object} Fit
 * @property {boolean | null} fits
 * @property {number} weightBytes
 * @property {number} kvBytes
 * @property {number} otherBytes
 * @property {number} context
 * @property {string} weights
 * @property {number | null} tokensPerSecond
 * @property {number} streamedLayers brought to the GPU for every token
 * @property {string | null} problem
 */

/** @typedef {{ name: string, bytes: number | null, removable: boolean, fit: Fit }} Model */
/** @typedef {import('./machine.js').Machine} Machine */

export function startModels() {
  byId('choose-model').addEventListener('click', () => void openModels());
  byId('open-models').addEventListener('click', () => void openModels());
  onChange('server', showServer);
  onChange('conversation', showCurrent);
  onChange('settings', showCurrent);
  void loadNames();
}

async function loadNames() {
  const { data } = /** @type {{ data: { id: string }[] }} */ (await call('/v1/models'));
  state.models = data.map(({ id }) => id);
  showCurrent();
}

function showCurrent() {
  const name = currentModel();
  const target = byId('choose-model').querySelector('.name');
  if (target) target.textContent = name || 'No model';
  byId('choose-model').setAttribute('aria-label', `Model: ${name || 'none'}`);
}

/** What the server is at, in the top bar; trouble in the banner. */
function showServer() {
  const { status, reason, loading, models } = state.server;
  const target = byId('status');
  const text = statusText();
  if (target.textContent !== text) target.textContent = text;
  target.className = status === 'ok' || status === 'loading' ? '' : 'problem';
  const banner = byId('banner');
  const trouble = troubleText(status, reason) || state.saveProblem;
  banner.hidden = trouble === '';
  if (banner.textContent !== trouble) banner.textContent = trouble;
  if (loading || models.length === 0) changed('conversation'); // the answer that waits shows how far it is
  showCurrent();
  showPulls();
}

function statusText() {
  const { status, loading, models, running, queued } = state.server;
  if (status === 'away') return 'connecting';
  if (loading) {
    const percent = Math.floor((100 * loading.doneBytes) / Math.max(loading.totalBytes, 1));
    return percent < 100 ? `loading ${percent} %` : 'making ready';
  }
  if (status !== 'ok' && status !== 'loading') return status;
  if (running > 0) return queued > 0 ? `${running} answering, ${queued} waiting` : 'answering';
  return models.length > 0 ? 'ready' : 'asleep';
}

/**
 * @param {string} status
 * @param {string | null} reason
 */
function troubleText(status, reason) {
  if (status === 'recovering')
    return `${reason ?? 'The GPU was lost'}. It is opened again, and answers go on where they were.`;
  if (status === 'failed')
    return `${reason ?? 'No tokens can be made'}. A game, a driver update or too little memory may be the cause.`;
  return status === 'away' && state.settings.model !== ''
    ? 'The app\u2019s server does not answer. Open firstlight again.'
    : '';
}

async function openModels() {
  const waiting = element('p', { class: 'pulse' }, 'Looking at the models');
  const name = element('input', {
    id: 'pull-name',
    type: 'text',
    placeholder: 'OWNER/NAME or OWNER/NAME:Q4_K_M',
    autocomplete: 'off',
    spellcheck: 'false',
  });
  const pull = element(
    'form',
    { class: 'row' },
    element('label', { for: 'pull-name', class: 'hidden' }, 'Model to download'),
    name,
    element('button', { type: 'submit', class: 'primary' }, 'Download'),
  );
  pull.addEventListener('submit', (event) => {
    event.preventDefault();
    if (name.value.trim() === '') return;
    void call('/app/pulls', { body: { name: name.value } });
    name.value = '';
  });
  const list = element('ul', { id: 'model-list' });
  openDialog(
    'models',
    'Models',
    waiting,
    list,
    element('h3', {}, 'Get another one'),
    pull,
    element('ul', { id: 'pulls' }),
  );
  showPulls();
  await showModels(list);
  waiting.remove();
  /** @type {HTMLElement | null} */ (
    list.querySelector('[aria-pressed="true"]') ?? list.querySelector('button')
  )?.focus();
}

/** @param {HTMLElement} list */
async function showModels(list) {
  const { models } = /** @type {{ models: Model[] }} */ (await call('/app/models'));
  /** @type {Machine} */
  const machine = await call('/app/machine');
  state.models = models.map(({ name }) => name);
  list.replaceChildren(...models.map((model) => modelItem(model, machine, list)));
}

/**
 * @param {Model} model
 * @param {Machine} machine
 * @param {HTMLElement} list
 */
function modelItem({ name, bytes, removable, fit }, machine, list) {
  const chosen = name === currentModel();
  const loaded = state.server.models.some((one) => one.name === name);
  const facts = [
    fit.weights,
    `context ${fit.context}`,
    fit.tokensPerSecond ? `about ${fit.tokensPerSecond.toFixed(fit.tokensPerSecond < 10 ? 1 : 0)} tokens/s` : '',
    fit.streamedLayers > 0 ? `${fit.streamedLayers} layers do not fit and are brought for every token` : '',
    bytes === null ? '' : `${gibibytes(bytes)} on disk`,
    loaded ? 'loaded' : '',
  ];
  const choose = element(
    'button',
    { type: 'button', class: 'card model', 'aria-pressed': String(chosen), onclick: () => void chooseModel(name) },
    element('span', { class: 'name' }, name),
    element('span', { class: `fit ${fit.fits === false ? 'bad' : 'good'}` }, fitText(fit)),
    element('span', { class: 'note' }, fit.problem ?? facts.filter((fact) => fact !== '').join(' \u00b7 ')),
    !fit.problem && fitPicture(fit, machine),
  );
  const remove = async () => {
    if (!(await ask('Delete this model?', `${name} can be downloaded again later.`, 'Delete'))) return;
    await call('/app/models/remove', { body: { name } });
    await openModels();
  };
  const unload = async () => {
    await call('/app/models/unload', { body: { name } });
    await showModels(list);
  };
  return element(
    'li',
    {},
    choose,
    element(
      'div',
      { class: 'side' },
      loaded && button({ icon: 'stop', label: `Unload ${name}`, class: 'quiet square', onclick: () => void unload() }),
      removable &&
        button({ icon: 'trash', label: `Delete ${name}`, class: 'quiet square', onclick: () => void remove() }),
    ),
  );
}

/** @param {Fit} fit */
function fitText({ fits, weightBytes, kvBytes, otherBytes, streamedLayers, problem }) {
  if (problem) return 'does not run';
  const needed = gibibytes(weightBytes + kvBytes + otherBytes);
  if (fits === null) return `needs ${needed}`;
  if (!fits) return `too large: ${needed}`;
  return streamedLayers > 0 ? `fits in part: ${needed}` : `fits: ${needed}`;
}

/**
 * What a model would take of the memory, beside what others have.
 *
 * @param {Fit} fit
 * @param {Machine} machine
 */
function fitPicture({ weightBytes, kvBytes, otherBytes }, machine) {
  const total = machine.pools.reduce((sum, pool) => sum + pool.totalBytes, 0);
  if (total === 0) return undefined;
  const own = Object.values(state.server.memory).reduce((sum, bytes) => sum + bytes, 0);
  const others = Math.max(0, machine.pools.reduce((sum, pool) => sum + pool.usedBytes, 0) - own);
  const needed = others + weightBytes + kvBytes + otherBytes;
  return sharesBar(
    [
      { name: 'other programs', bytes: others, kind: 'others' },
      { name: 'weights', bytes: weightBytes, kind: needed > total ? 'over' : 'weights' },
      { name: 'KV cache', bytes: kvBytes, kind: 'kv' },
      { name: 'working memory', bytes: otherBytes, kind: 'work' },
    ],
    Math.max(total, needed),
    machine.pools,
  );
}

/** @param {string} name */
async function chooseModel(name) {
  /** @type {HTMLDialogElement} */ (byId('models')).close();
  state.conversation.model = name;
  await changeSettings({ model: name });
  changed('conversation');
  if (state.conversation.messages.length > 0) void saveConversation(state.conversation);
  // so that it is there when the first message is written; what goes wrong the first answer tells
  await call('/app/models/load', { body: { name } }).catch(() => {});
}

let shownPulls = '';

function showPulls() {
  const target = document.getElementById('pulls');
  if (!target) return;
  const { pulls } = state.server;
  const key = JSON.stringify(pulls);
  if (key === shownPulls && target.childElementCount === pulls.length) return;
  shownPulls = key;
  target.replaceChildren(
    ...pulls.map(({ name, state: at, doneBytes, totalBytes, message }) => {
      const of = totalBytes ? ` of ${gibibytes(totalBytes)}` : '';
      const text = at === 'done' ? 'is here' : at === 'failed' ? (message ?? 'failed') : `${gibibytes(doneBytes)}${of}`;
      return element(
        'li',
        {},
        element(
          'span',
          { class: at === 'failed' ? 'problem' : '' },
          `${name}: ${text}${at === 'running' && message ? ` (${message})` : ''}`,
        ),
        at === 'running' &&
          element('progress', { value: totalBytes ? doneBytes : undefined, max: totalBytes, 'aria-label': name }),
        button({
          icon: 'close',
          label: at === 'running' ? `Stop downloading ${name}` : `Forget ${name}`,
          class: 'quiet square small',
          onclick: () => void call('/app/pulls/stop', { body: { name } }),
        }),
      );
    }),
  );
}
