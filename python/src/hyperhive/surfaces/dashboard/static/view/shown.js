/**
 * Exactly what an approval would approve: every field of it, diffs as diffs, long texts folded.
 *
 * Nothing is left out. Below the readable form lies the text itself that the digest is of.
 */

import { diffView, isDiff } from "./diff.js";
import { h } from "./elements.js";

/** A text with more lines or characters than this is folded. */
const FOLD_LINES = 20;
const FOLD_CHARACTERS = 2000;

/**
 * @param {Record<string, any>} shown
 * @param {string} digest
 * @returns {HTMLElement}
 */
export function shownView(shown, digest) {
  const { title: _title, details, payload, kind: _kind, agent: _agent, requester: _requester, ...others } = shown;
  return h(
    "div",
    { class: "shown" },
    details ? h("div", { class: "details" }, textView(String(details))) : null,
    isEmpty(payload) ? null : fields(payload),
    isEmpty(others) ? null : fields(others),
    h(
      "details",
      { class: "exact" },
      h("summary", {}, "The exact text that is approved"),
      h("p", { class: "quiet" }, "SHA-256 ", h("code", {}, digest)),
      h("pre", { class: "body", tabindex: "0", "aria-label": "Exact text" }, JSON.stringify(shown, null, 2)),
    ),
  );
}

/**
 * @param {unknown} value
 * @returns {boolean}
 */
function isEmpty(value) {
  if (value === null || value === undefined || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/**
 * @param {unknown} value
 * @returns {HTMLElement}
 */
export function fields(value) {
  if (typeof value !== "object" || value === null) return textView(String(value));
  if (Array.isArray(value)) {
    return h("ul", { class: "values" }, ...value.map((each) => h("li", {}, fields(each))));
  }
  const rows = Object.entries(value).flatMap(([name, each]) => [
    h("dt", {}, name.replaceAll("_", " ")),
    h("dd", {}, isEmpty(each) ? h("span", { class: "quiet" }, "none") : fields(each)),
  ]);
  return h("dl", { class: "fields" }, ...rows);
}

/**
 * @param {string} text
 * @returns {HTMLElement}
 */
export function textView(text) {
  if (isDiff(text)) return diffView(text);
  const lines = text.split("\n").length;
  const whole = h("div", { class: "prose" }, text);
  if (lines <= FOLD_LINES && text.length <= FOLD_CHARACTERS) return whole;
  const size = lines > 1 ? `${lines.toLocaleString("en")} lines` : `${text.length.toLocaleString("en")} characters`;
  return h("details", {}, h("summary", {}, `${text.slice(0, 120).split("\n")[0]}… (${size})`), whole);
}
