/** A part of a page, under a heading of its own. */

import { h } from "./elements.js";

/**
 * @param {string} id of the heading
 * @param {string} title
 * @param {...Node} children
 * @returns {HTMLElement}
 */
export function panel(id, title, ...children) {
  return h("section", { class: "panel", "aria-labelledby": id }, h("h3", { id, class: "panel-title" }, title), ...children);
}

/**
 * @param {HTMLElement} element
 * @returns {HTMLElement} it, across both columns where there are two
 */
export function wide(element) {
  element.classList.add("is-wide");
  return element;
}
