/** What an agent's box printed last, fetched when it is opened. */

import { get } from "../wire/api.js";
import { h, say } from "./elements.js";

const LOG_LINES = 200;

/**
 * @param {string} name
 * @returns {HTMLElement}
 */
export function logPanel(name) {
  const text = h("pre", { class: "body", tabindex: "0", "aria-label": "Log" });
  const trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  /** @param {Event} event */
  async function open(event) {
    if (!(event.target instanceof HTMLDetailsElement) || !event.target.open) return;
    try {
      const { lines } = await get(`/api/agents/${encodeURIComponent(name)}/logs?lines=${LOG_LINES}`);
      text.textContent = lines.join("\n") || "It has printed nothing.";
      say(trouble, null);
    } catch (error) {
      say(trouble, error instanceof Error ? error.message : String(error));
    }
  }
  return h("details", { class: "decided log", toggle: open }, h("summary", {}, "What its box printed last"), h("div", { class: "inside" }, trouble, text));
}
