/** The machine: a picture of its memory, and how fast and at how many watts it works. */
import { call } from './api.js';
import { openDialog } from './dialogs.js';
import { byId, element, gibibytes, svgElement } from './elements.js';
import { onChange, state } from './state.js';

/**
 * @typedef {object} Machine
 * @property {string} adapter
 * @property {boolean} software
 * @property {{ name: string, totalBytes: number, usedBytes: number }[]} pools
 * @property {number | null} freeBytes
 * @property {string} rule
 */

/** @typedef {{ name: string, bytes: number, kind: 'others' | 'weights' | 'kv' | 'work' | 'free' | 'over' }} Share */

const SAMPLES = 120;
/** @type {{ tokensPerSecond: number, watts: number | null }[]} */
const history = [];
/** Of the last samples: single ones jump. @type {number[]} */
const rates = [];
const SMOOTHED = 4;
let lastTokens = 0;
let lastMs = 0;

export function startMachine() {
  onChange('server', () => {
    sample();
    showGauges();
    if (dialog().open) showPlots();
  });
  byId('open-machine').addEventListener('click', () => void openMachine());
}

function dialog() {
  return /** @type {HTMLDialogElement} */ (byId('machine'));
}

function sample() {
  const { tokens, watts } = state.server;
  const nowMs = performance.now();
  if (nowMs - lastMs < 400) return;
  const made = tokens - lastTokens;
  const rate = lastMs > 0 && made >= 0 ? (1000 * made) / (nowMs - lastMs) : 0;
  lastTokens = tokens;
  lastMs = nowMs;
  rates.push(rate);
  if (rates.length > SMOOTHED) rates.shift();
  const mean = rates.reduce((sum, one) => sum + one, 0) / rates.length;
  history.push({ tokensPerSecond: mean, watts });
  if (history.length > SAMPLES) history.shift();
}

function showGauges() {
  const { watts } = state.server;
  const rate = history.at(-1)?.tokensPerSecond ?? 0;
  const texts = [rate >= 0.05 && `${rate.toFixed(1)} tokens/s`, watts !== null && `${watts.toFixed(1)} W`].filter(
    (text) => text !== false,
  );
  byId('gauges').replaceChildren(...texts.map((text) => element('span', {}, text)));
}

/** @param {Machine} machine */
function picture(machine) {
  const { memory } = state.server;
  const weights = memory.weights ?? 0;
  const kv = memory.kv ?? 0;
  const work = Object.values(memory).reduce((sum, bytes) => sum + bytes, 0) - weights - kv;
  const total = machine.pools.reduce((sum, pool) => sum + pool.totalBytes, 0);
  const used = machine.pools.reduce((sum, pool) => sum + pool.usedBytes, 0);
  if (total === 0) return element('p', {}, `Free memory: ${machine.rule}.`);
  const own = weights + kv + work;
  /** @type {Share[]} */
  const shares = [
    { name: 'other programs', bytes: Math.max(0, used - own), kind: 'others' },
    { name: 'weights', bytes: weights, kind: 'weights' },
    { name: 'KV cache', bytes: kv, kind: 'kv' },
    { name: 'working memory', bytes: work, kind: 'work' },
    { name: 'free', bytes: Math.max(0, total - Math.max(used, own)), kind: 'free' },
  ];
  return element(
    'figure',
    { class: 'memory' },
    sharesBar(shares, total, machine.pools),
    element(
      'figcaption',
      {},
      element(
        'ul',
        { class: 'legend' },
        ...shares.map(({ name, bytes, kind }) =>
          element(
            'li',
            {},
            element('span', { class: `swatch ${kind}` }),
            `${name} `,
            element('b', {}, gibibytes(bytes)),
          ),
        ),
      ),
    ),
  );
}

/**
 * A bar of shares in frames of the pools that they lie in, whose names stand above it.
 *
 * @param {Share[]} shares
 * @param {number} total
 * @param {Machine['pools']} pools
 */
export function sharesBar(shares, total, pools) {
  const width = 1000;
  const scale = width / Math.max(total, 1);
  const label = shares.map(({ name, bytes }) => `${name} ${gibibytes(bytes)}`).join(', ');
  const svg = svgElement('svg', { viewBox: `0 0 ${width} 40`, role: 'img', 'aria-label': label, class: 'shares' });
  let x = 0;
  for (const pool of pools) {
    const size = pool.totalBytes * scale;
    svg.append(svgElement('rect', { x: x + 1, y: 1, width: Math.max(0, size - 2), height: 38, rx: 6, class: 'pool' }));
    x += size;
  }
  x = 0;
  for (const { bytes, kind } of shares) {
    const size = Math.min(bytes * scale, width - x);
    if (kind !== 'free' && size > 0)
      svg.append(svgElement('rect', { x: x + 2, y: 5, width: Math.max(1, size - 2), height: 30, rx: 4, class: kind }));
    x += size;
  }
  const names = pools.map(({ name, totalBytes }) => `${name} ${gibibytes(totalBytes)}`).join(', then ');
  return element('span', { class: 'shares' }, element('span', { class: 'pools' }, names), svg);
}

/**
 * @param {string} title
 * @param {(number | null)[]} values
 * @param {string} unit
 */
function plot(title, values, unit) {
  const known = values.filter((value) => value !== null);
  const latest = known.at(-1);
  if (latest === undefined) return undefined;
  const most = Math.max(...known);
  const points = values
    .map((value, i) =>
      value === null
        ? ''
        : `${((i / (SAMPLES - 1)) * 600).toFixed(1)},${(96 - (value / Math.max(most, 1)) * 88).toFixed(1)}`,
    )
    .join(' ');
  const label = `${title}: now ${latest.toFixed(1)} ${unit}, at most ${most.toFixed(1)} ${unit} within the last minute`;
  return element(
    'figure',
    { class: 'plot' },
    element(
      'figcaption',
      {},
      `${title} `,
      element('b', {}, `${latest.toFixed(1)} ${unit}`),
      `, at most ${most.toFixed(1)}`,
    ),
    svgElement(
      'svg',
      { viewBox: '0 0 600 100', role: 'img', 'aria-label': label, preserveAspectRatio: 'none' },
      svgElement('path', { d: 'M0 96H600M0 52H600M0 8H600', class: 'grid' }),
      svgElement('polyline', { points, class: 'line' }),
    ),
  );
}

function showPlots() {
  const target = document.getElementById('plots');
  if (!target) return;
  const pad = new Array(SAMPLES - history.length).fill(null);
  const rates = plot('Speed', [...pad, ...history.map(({ tokensPerSecond }) => tokensPerSecond)], 'tokens/s');
  const watts = plot('Power', [...pad, ...history.map((one) => one.watts)], 'W');
  target.replaceChildren(...[rates, watts].filter((one) => one !== undefined));
}

async function openMachine() {
  /** @type {Machine} */
  const machine = await call('/app/machine');
  const { models, deviceLosses, status, reason } = state.server;
  const facts = [
    machine.adapter + (machine.software ? ' (computes on the CPU: slow)' : ''),
    machine.freeBytes === null ? '' : `${gibibytes(machine.freeBytes)} free (${machine.rule})`,
    ...models.map(
      ({ name, context, slots }) => `${name}: context ${context}${slots > 1 ? `, ${slots} answers at once` : ''}`,
    ),
    deviceLosses > 0 ? `the GPU was lost ${deviceLosses} time${deviceLosses > 1 ? 's' : ''} and opened again` : '',
    status === 'ok' ? '' : (reason ?? status),
  ];
  openDialog(
    'machine',
    'Machine',
    element('ul', { class: 'facts' }, ...facts.filter((fact) => fact !== '').map((fact) => element('li', {}, fact))),
    element('h3', {}, 'Memory'),
    picture(machine),
    element('h3', {}, 'Speed and power'),
    element('div', { id: 'plots' }),
  );
  showPlots();
}
