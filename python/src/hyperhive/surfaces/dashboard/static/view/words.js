/** How states look and names are told apart: the only place that maps one to the other. */

import { h } from "./elements.js";

/** @typedef {"good" | "busy" | "wait" | "bad" | "idle"} Tone */

/** @type {Readonly<Record<string, Tone>>} */
const TONES = {
  ready: "good",
  busy: "busy",
  starting: "wait",
  draining: "wait",
  stopping: "wait",
  backing_off: "wait",
  rate_limited: "wait",
  needs_login: "bad",
  crashed: "bad",
  stopped: "idle",
  queued: "wait",
  leased: "busy",
  acked: "idle",
  dead: "bad",
  dropped: "idle",
  unread: "busy",
  read: "idle",
  pending: "wait",
  approved: "busy",
  running: "busy",
  done: "good",
  failed: "bad",
  denied: "bad",
  cancelled: "idle",
  open: "wait",
  answered: "good",
  expired: "idle",
  proposed: "wait",
  delivered: "good",
  merged: "good",
  closed: "idle",
  ok: "good",
  timed_out: "bad",
  died: "bad",
};

const HUES = 8;
const UNITS = ["KiB", "MiB", "GiB", "TiB"];

/**
 * @param {string} state
 * @returns {HTMLSpanElement} an empty chip; `showChip` fills it
 */
export function chip(state = "") {
  const element = h("span", { class: "chip" });
  if (state) showChip(element, state);
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {string} state
 */
export function showChip(element, state) {
  const text = state.replaceAll("_", " ");
  if (element.textContent !== text) element.textContent = text;
  element.className = `chip tone-${TONES[state] ?? "idle"}`;
}

/**
 * @param {string} name
 * @returns {HTMLSpanElement} the name, in a colour that is always the same for it
 */
export function nameTag(name) {
  const element = h("span", { class: "name" });
  showName(element, name);
  return element;
}

/**
 * @param {string} name
 * @returns {HTMLAnchorElement} the name of an agent, leading to its page
 */
export function agentLink(name) {
  return h("a", { class: "agent-link", href: `#/agent/${encodeURIComponent(name)}` }, nameTag(name));
}

/**
 * @param {HTMLElement} element
 * @param {string} name
 */
export function showName(element, name) {
  if (element.textContent === name && name) return;
  const hue = ["operator", "system", "reminder"].includes(name) ? name : hueOf(name);
  element.className = `name hue-${hue}`;
  element.textContent = name;
}

/**
 * @param {string} name
 * @returns {number} which of the colours is always its own
 */
export function hueOf(name) {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  return hash % HUES;
}

/**
 * @param {number} count
 * @param {string} noun
 * @returns {string}
 */
export function counted(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * @param {number} bytes
 * @returns {string}
 */
export function sized(bytes) {
  if (bytes < 1024) return counted(bytes, "byte");
  let amount = bytes / 1024;
  let unit = 0;
  for (; amount >= 1024 && unit < UNITS.length - 1; unit += 1) amount /= 1024;
  return `${amount.toFixed(1)} ${UNITS[unit]}`;
}

/**
 * @param {number} dollars
 * @returns {string}
 */
export function priced(dollars) {
  return `$${dollars.toFixed(2)}`;
}

/**
 * Lead there only if it is a place on the web: an agent must not choose what a click runs.
 *
 * @param {unknown} url
 * @param {string} text
 * @returns {HTMLElement} a link, or only the text
 */
export function webLink(url, text) {
  const isPlace = typeof url === "string" && /^https?:\/\//i.test(url);
  return isPlace ? h("a", { href: url, rel: "noreferrer noopener", target: "_blank" }, text) : h("span", {}, text);
}
