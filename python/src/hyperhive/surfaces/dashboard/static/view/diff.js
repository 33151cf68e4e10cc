/** A unified diff, line by line, so that what goes and what comes are told apart without colour too. */

import { h } from "./elements.js";

/** Lines that are shown at once; more are folded. */
const SHOWN_LINES = 400;

/**
 * @param {string} text
 * @returns {boolean}
 */
export function isDiff(text) {
  return /^(diff --git |--- )/m.test(text) && /^@@ /m.test(text);
}

/**
 * @param {string} text
 * @returns {HTMLElement}
 */
export function diffView(text) {
  const lines = text.replace(/\n$/, "").split("\n");
  const first = rows(lines.slice(0, SHOWN_LINES));
  const rest = lines.slice(SHOWN_LINES);
  const element = h("div", { class: "diff", tabindex: "0", role: "region", "aria-label": "Difference" }, first);
  if (rest.length > 0) {
    element.append(h("details", {}, h("summary", {}, `${rest.length.toLocaleString("en")} more lines`), rows(rest)));
  }
  return element;
}

/**
 * @param {string[]} lines
 * @returns {HTMLElement}
 */
function rows(lines) {
  return h("pre", {}, ...lines.map((line) => h("span", { class: `diff-line ${kindOf(line)}` }, `${line}\n`)));
}

/**
 * @param {string} line
 * @returns {string}
 */
function kindOf(line) {
  if (/^(diff |index |--- |\+\+\+ |new file|deleted file|rename |similarity )/.test(line)) return "diff-head";
  if (line.startsWith("@@")) return "diff-at";
  if (line.startsWith("+")) return "diff-added";
  return line.startsWith("-") ? "diff-removed" : "diff-same";
}
