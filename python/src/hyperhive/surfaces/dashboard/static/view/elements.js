/**
 * Elements, built and updated by hand.
 *
 * Text only ever enters the page as a text node or an attribute's value, so nothing that an agent
 * wrote is read as markup. Lists are updated by key: an element that stays is the same element, and
 * with it its focus, its selection, its scroll position and what is open in it.
 */

/** @typedef {Node | string | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Attributes */

/**
 * Build an element. A function is a listener; `true` an empty attribute; `false` and `null` none.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, String(value));
  }
  for (const child of children) if (child || child === "") element.append(child);
  return element;
}

/**
 * Show `text` in `element`; an element without text takes no room.
 *
 * @param {HTMLElement} element
 * @param {string | null | undefined} text
 */
export function say(element, text) {
  const wanted = text ?? "";
  if (element.textContent !== wanted) element.textContent = wanted;
  if (element.hidden !== (wanted === "")) element.hidden = wanted === "";
}

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T} the element of the shell page with that id
 */
export function part(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`The page has no ${type.name} #${id}.`);
  return element;
}

/**
 * @template T
 * @typedef {object} Item An element of a list and how it takes a newer value.
 * @property {HTMLElement} element
 * @property {(value: T) => void} update called first right after the item was made
 * @property {() => void} [removed]
 */

/**
 * The children of one element, one for each value, in the order of the values.
 *
 * @template T
 */
export class KeyedList {
  #parent;
  #make;
  /** @type {Map<string | number, {item: Item<T>, value: T}>} */
  #items = new Map();

  /**
   * @param {HTMLElement} parent
   * @param {(value: T) => Item<T>} make
   */
  constructor(parent, make) {
    this.#parent = parent;
    this.#make = make;
  }

  /**
   * @param {string | number} key
   * @returns {Item<T> | undefined}
   */
  item(key) {
    return this.#items.get(key)?.item;
  }

  /**
   * Bring the children in line with `values`, touching only what differs.
   *
   * @param {ReadonlyMap<string | number, T>} values
   */
  show(values) {
    for (const [key, { item }] of this.#items) {
      if (values.has(key)) continue;
      this.#items.delete(key);
      leave(item.element, this.#parent);
      item.removed?.();
    }
    /** @type {Element | null} */
    let next = this.#parent.firstElementChild;
    for (const [key, value] of values) {
      const known = this.#items.get(key);
      const item = known?.item ?? this.#make(value);
      if (known?.value !== value) {
        item.update(value);
        this.#items.set(key, { item, value });
      }
      if (item.element === next) next = next.nextElementSibling;
      else this.#parent.insertBefore(item.element, next);
    }
  }
}

/**
 * Take an element away. If it had the focus, its neighbour gets it, so that a keyboard's user is
 * not thrown back to the top of the page.
 *
 * @param {HTMLElement} element
 * @param {HTMLElement} parent
 */
function leave(element, parent) {
  const focused = element.contains(document.activeElement);
  const neighbour = element.nextElementSibling ?? element.previousElementSibling;
  element.remove();
  if (!focused) return;
  const heir = neighbour?.querySelector("button") ?? parent.closest("section");
  if (heir instanceof HTMLElement) heir.focus();
}
