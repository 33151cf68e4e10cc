/** What keeps an agent, or the hive, from working as it would: restarts, holds, pauses, and since when. */

import { h, KeyedList } from "./elements.js";
import { moment, showSince, showUntil } from "./times.js";

/** @typedef {import("../types.js").Agent} Agent */
/** @typedef {import("../types.js").Pause} Pause */

/**
 * @typedef {object} Mark
 * @property {string} text
 * @property {number | null} since
 * @property {number | null} until
 * @property {"wait" | "bad" | "idle"} tone
 */

/**
 * @param {HTMLElement} parent
 * @returns {(marks: readonly Mark[]) => void}
 */
export function marksIn(parent) {
  /** @type {KeyedList<Mark>} */
  const list = new KeyedList(parent, markItem);
  return (marks) => {
    parent.hidden = marks.length === 0;
    list.show(new Map(marks.map((mark) => [mark.text, mark])));
  };
}

/**
 * @param {Agent} agent
 * @returns {Mark[]}
 */
export function agentMarks({ transient, held, pauses, probe }) {
  return [
    ...(transient ? [mark(transient.replaceAll("_", " "), "wait")] : []),
    ...(held ? [mark(`held by ${held.by}`, "idle", held.at)] : []),
    ...pauseMarks(pauses),
    ...(probe?.differences ?? []).map((difference) => mark(`box: ${difference}`, "bad")),
  ];
}

/**
 * @param {readonly Pause[]} pauses
 * @param {string} who the beginning of the sentence, where that is not the agent itself
 * @returns {Mark[]}
 */
export function pauseMarks(pauses, who = "") {
  return pauses.map(({ reason, since, until }) => {
    const text = who + (reason.startsWith("paused") ? reason : `paused: ${reason}`);
    return mark(until === null ? text : `${text}, until ${moment(until)}`, "wait", since, until);
  });
}

/**
 * @param {string} text
 * @param {Mark["tone"]} tone
 * @param {number | null} since
 * @param {number | null} until
 * @returns {Mark}
 */
function mark(text, tone, since = null, until = null) {
  return { text, tone, since, until };
}

/** @returns {import("./elements.js").Item<Mark>} */
function markItem() {
  const text = h("span", { class: "text" });
  const since = h("time", { class: "since" });
  const element = h("li", {}, text, " ", since);
  return {
    element,
    update(value) {
      element.className = `mark-${value.tone}`;
      text.textContent = value.text;
      showSince(since, value.since);
      showUntil(element, value.until);
    },
  };
}
