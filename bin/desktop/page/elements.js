/** Making elements: no markup is ever parsed, so no text can become any. */

/** Outlines of 24 by 24. */
const ICONS = {
  plus: 'M12 5v14M5 12h14',
  send: 'M12 19V5M5 12l7-7 7 7',
  stop: 'M7 7h10v10H7z',
  copy: 'M9 9h10v10H9zM5 15V5h10',
  edit: 'M4 20l1-4L16 5l3 3L8 19zM14 7l3 3',
  redo: 'M20 11a8 8 0 1 0-2 6M20 5v6h-6',
  trash: 'M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13',
  menu: 'M4 7h16M4 12h16M4 17h16',
  cube: 'M12 3l8 4.5v9L12 21l-8-4.5v-9zM12 12l8-4.5M12 12v9M12 12L4 7.5',
  chip: 'M7 7h10v10H7zM9 3v4M15 3v4M9 17v4M15 17v4M3 9h4M3 15h4M17 9h4M17 15h4',
  sliders: 'M4 8h9M17 8h3M4 16h3M11 16h9M15 6v4M9 14v4',
  left: 'M14 6l-6 6 6 6',
  right: 'M10 6l6 6-6 6',
  close: 'M6 6l12 12M18 6L6 18',
  check: 'M5 12l5 5L19 8',
  download: 'M12 4v12M6 11l6 6 6-6M5 20h14',
};

/** @typedef {keyof typeof ICONS} IconName */
/** @typedef {Node | string | undefined | null | false} Child */

/**
 * @param {IconName} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const svg = svgElement('svg', { viewBox: '0 0 24 24', 'aria-hidden': 'true', class: 'icon' });
  svg.append(svgElement('path', { d: ICONS[name] }));
  return /** @type {SVGSVGElement} */ (svg);
}

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function svgElement(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children.filter(isShown));
  return element;
}

/**
 * An element. Attributes that are undefined or false are left out; `on...` are listeners.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) made.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else made.setAttribute(name, value === true ? '' : String(value));
  }
  made.append(...children.filter(isShown));
  return made;
}

/**
 * A button with an icon; without a text its label is only heard.
 *
 * @param {{ icon?: IconName, label: string, text?: string, class?: string, onclick: () => void, disabled?: boolean, pressed?: boolean }} options
 */
export function button(options) {
  const { icon: name, label, text, onclick, disabled, pressed } = options;
  return element(
    'button',
    {
      type: 'button',
      class: options.class ?? 'quiet',
      'aria-label': text === label ? undefined : label,
      title: text === undefined ? label : undefined,
      disabled,
      'aria-pressed': pressed === undefined ? undefined : String(pressed),
      onclick,
    },
    name && icon(name),
    text,
  );
}

/**
 * @param {Child} child
 * @returns {child is Node | string}
 */
function isShown(child) {
  return child !== undefined && child !== null && child !== false;
}

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return /** @type {T} */ (found);
}

/** @param {number} bytes */
export function gibibytes(bytes) {
  const mib = bytes / 2 ** 20;
  if (mib < 1000) return `${mib < 10 ? mib.toFixed(1) : Math.round(mib)} MiB`;
  return `${(mib / 1024).toFixed(mib < 10240 ? 2 : 1)} GiB`;
}
