/** One line of a transcript: what the agent said, thought, called, got, or ran into. */

import { h } from "./elements.js";

/** @typedef {import("../types.js").Line} Line */

/** What is longer is folded. */
const FOLD = 600;

/** @type {Readonly<Record<string, string>>} */
const WORDS = { text: "said", thinking: "thought", tool_call: "calls", tool_result: "got", note: "note", error: "error", unreadable: "cannot be read" };

/**
 * @param {Line} line
 * @returns {HTMLElement}
 */
export function lineView({ kind, data }) {
  const known = Object.hasOwn(WORDS, kind);
  const failed = kind === "error" || data["is_error"] === true;
  const name = typeof data["name"] === "string" ? data["name"] : "";
  const told = textOf(kind, data);
  const content = told.length > FOLD ? folded(told) : h("span", { class: "line-text" }, told);
  const classes = `line line-${known ? kind : "note"}${failed ? " is-failed" : ""}`;
  return h("div", { class: classes }, h("span", { class: "line-kind" }, known ? WORDS[kind] : kind, name && " ", name && h("b", {}, name)), content);
}

/**
 * @param {string} kind
 * @param {Line["data"]} data
 * @returns {string}
 */
function textOf(kind, data) {
  const value = kind === "tool_call" ? data["arguments"] ?? data["input"] : kind === "tool_result" ? data["result"] : data["text"];
  if (typeof value === "string") return value;
  if (value !== undefined && value !== null) return JSON.stringify(value);
  const { name: _name, is_error: _failed, ...rest } = data;
  return Object.keys(rest).length > 0 ? JSON.stringify(rest) : "";
}

/**
 * @param {string} text
 * @returns {HTMLElement}
 */
function folded(text) {
  const size = `${text.length.toLocaleString("en")} characters`;
  return h("details", { class: "line-text" }, h("summary", {}, `${text.slice(0, 160).replaceAll("\n", " ")}… (${size})`), h("span", {}, text));
}
