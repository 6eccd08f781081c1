/** Arrow keys go from control to control, as a controller's cross does; Escape stops and closes. */
import { stopAnswer } from './answers.js';
import { byId } from './elements.js';
import { state } from './state.js';

const FOCUSABLE = 'button:not([disabled]), a[href], input:not([disabled]), textarea, summary, [tabindex="0"]';
/** How much worse a step to the side is than one ahead. */
const ASIDE = 2.5;
/** Part of its height by which the log scrolls over a message that is higher than itself. */
const SCROLLED = 0.7;

/** @typedef {'ArrowUp' | 'ArrowDown' | 'ArrowLeft' | 'ArrowRight'} Arrow */

export function startNavigation() {
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.key === 'Escape' && !document.querySelector('dialog[open]')) {
      stopAnswer(state.conversation);
      return;
    }
    if (!/^Arrow(Up|Down|Left|Right)$/.test(event.key)) return;
    const arrow = /** @type {Arrow} */ (event.key);
    const from = document.activeElement;
    if (from instanceof HTMLElement && usesArrow(from, arrow)) return;
    if (scrollsOn(from, arrow) || move(from, arrow)) event.preventDefault();
  });
}

/**
 * Whether a control has a use of its own for an arrow key.
 *
 * @param {HTMLElement} control
 * @param {Arrow} arrow
 */
function usesArrow(control, arrow) {
  const along = arrow === 'ArrowLeft' || arrow === 'ArrowRight';
  if (control instanceof HTMLInputElement && control.type === 'range') return along;
  if (!(control instanceof HTMLTextAreaElement) && !(control instanceof HTMLInputElement && control.type === 'text'))
    return false;
  const { selectionStart: start, selectionEnd: end, value } = control;
  if (start !== end) return true;
  if (arrow === 'ArrowUp' || (arrow === 'ArrowLeft' && value === '')) return start !== 0;
  if (arrow === 'ArrowDown' || (arrow === 'ArrowRight' && value === '')) return end !== value.length;
  return true;
}

/**
 * Scrolls over a message that does not fit the log, before the focus leaves it.
 *
 * @param {Element | null} from
 * @param {Arrow} arrow
 */
function scrollsOn(from, arrow) {
  const log = byId('log');
  const message = from?.closest('article');
  if (!message || (arrow !== 'ArrowUp' && arrow !== 'ArrowDown')) return false;
  const inner = message.getBoundingClientRect();
  const outer = log.getBoundingClientRect();
  const hidden = arrow === 'ArrowDown' ? inner.bottom - outer.bottom : outer.top - inner.top;
  if (hidden < 8 || inner.height < outer.height * SCROLLED) return false;
  log.scrollBy({ top: Math.min(hidden, outer.height * SCROLLED) * (arrow === 'ArrowDown' ? 1 : -1) });
  return true;
}

/**
 * Focuses the nearest control in a direction; whether there is one.
 *
 * @param {Element | null} from
 * @param {Arrow} arrow
 */
function move(from, arrow) {
  const scope = document.querySelector('dialog[open]') ?? document.body;
  const controls = [...scope.querySelectorAll(FOCUSABLE)].filter(
    (control) =>
      control !== from && control instanceof HTMLElement && control.checkVisibility({ visibilityProperty: true }),
  );
  const start = from && from !== document.body && scope.contains(from) ? from.getBoundingClientRect() : undefined;
  let best;
  let bestCost = Number.POSITIVE_INFINITY;
  for (const control of controls) {
    const cost = start ? costOf(start, control.getBoundingClientRect(), arrow) : 0;
    if (cost >= bestCost) continue;
    best = control;
    bestCost = cost;
  }
  if (!(best instanceof HTMLElement)) return false;
  best.focus({ preventScroll: true });
  best.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  return true;
}

/**
 * @param {DOMRect} from
 * @param {DOMRect} to
 * @param {Arrow} arrow
 */
function costOf(from, to, arrow) {
  const upright = arrow === 'ArrowUp' || arrow === 'ArrowDown';
  const forward = arrow === 'ArrowDown' || arrow === 'ArrowRight' ? 1 : -1;
  /** @param {DOMRect} rect */
  const span = (rect) => (upright ? [rect.top, rect.bottom] : [rect.left, rect.right]);
  /** @param {DOMRect} rect */
  const across = (rect) => (upright ? [rect.left, rect.right] : [rect.top, rect.bottom]);
  const [fromStart = 0, fromEnd = 0] = span(from);
  const [toStart = 0, toEnd = 0] = span(to);
  // something inside or around the control lies ahead of it if its middle does
  const ahead = (forward * (toStart + toEnd - fromStart - fromEnd)) / 2;
  if (ahead < 1) return Number.POSITIVE_INFINITY;
  const gap = Math.max(0, forward > 0 ? toStart - fromEnd : fromStart - toEnd);
  const [leftA = 0, rightA = 0] = across(from);
  const [leftB = 0, rightB = 0] = across(to);
  const aside = Math.max(0, leftB - rightA, leftA - rightB);
  const offset = Math.abs(leftA + rightA - leftB - rightB) / 2;
  return gap + ASIDE * aside + 0.05 * offset + 0.01 * ahead;
}
