/**
 * A button that asks the hive for something.
 *
 * It answers at once by being busy, and shows a refusal right beside itself. When the hive has
 * agreed it stays busy until the event that follows changes what it stands for; one that may be
 * clicked `again` is ready as soon as the page shows what came of it. One that would lose something
 * asks first, in its own place, naming what.
 */

import { post } from "../wire/api.js";
import { h, say } from "./elements.js";

/**
 * @typedef {object} Action
 * @property {string} label
 * @property {() => Promise<unknown>} run
 * @property {() => string | null} [warning] what would be lost, if something; asked before `run`
 * @property {string} [confirm] the label of the button that goes ahead
 * @property {boolean} [again] whether it can be clicked again once `run` is over
 * @property {boolean} [primary] whether it is what one usually wants
 * @property {string} [done] what to say then, where nothing else on the page shows it
 */

/**
 * Ask the hive to do something, and wait until the page shows what came of it.
 *
 * @param {import("../state/store.js").Store} store
 * @param {string} path
 * @param {object} [body]
 */
export async function ask(store, path, body = {}) {
  const answer = await post(path, body);
  await store.reached(answer.seq);
}

/**
 * @param {Action} action
 * @returns {{element: HTMLElement, reset: () => void}} `reset` makes it ready to be clicked again
 */
export function actionButton({ label, run, warning, confirm = label, again = false, primary = false, done }) {
  const button = h("button", { type: "button", class: primary ? "button primary" : "button", click: start }, label);
  const refusal = h("p", { class: "refusal", role: "alert", hidden: true });
  const result = h("p", { class: "done", role: "status", hidden: true });
  const element = h("div", { class: "action" }, button, refusal, result);
  /** @type {HTMLElement | null} */
  let asking = null;

  function start() {
    if (busy()) return;
    say(refusal, null);
    say(result, null);
    const lost = warning?.() ?? null;
    if (lost !== null) question(lost);
    else void go();
  }

  /** @param {string} text */
  function question(text) {
    const keep = h("button", { type: "button", class: "button", click: cancel }, "Keep");
    asking = h(
      "div",
      { class: "asking", role: "group", "aria-label": label, keydown: leave },
      h("p", { class: "question" }, text),
      h("button", { type: "button", class: "button danger", click: go }, confirm),
      keep,
    );
    button.hidden = true;
    button.after(asking);
    keep.focus();
  }

  /** @param {KeyboardEvent} event */
  function leave(event) {
    if (event.key === "Escape") cancel();
  }

  function cancel() {
    asking?.remove();
    asking = null;
    button.hidden = false;
    button.focus();
  }

  async function go() {
    if (asking) cancel();
    button.setAttribute("aria-disabled", "true");
    say(refusal, null);
    try {
      await run();
      if (!again) return;
      button.removeAttribute("aria-disabled");
      say(result, done);
    } catch (error) {
      say(refusal, error instanceof Error ? error.message : String(error));
      button.removeAttribute("aria-disabled");
    }
  }

  function busy() {
    return button.getAttribute("aria-disabled") === "true";
  }

  function reset() {
    asking?.remove();
    asking = null;
    button.hidden = false;
    button.removeAttribute("aria-disabled");
    say(refusal, null);
    say(result, null);
  }

  return { element, reset };
}
