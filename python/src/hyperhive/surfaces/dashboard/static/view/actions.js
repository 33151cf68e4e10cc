/**
 * A button that asks the hive for something.
 *
 * It answers at once by being busy, and shows a refusal right beside itself. When the hive has
 * agreed it stays busy until the event that follows changes what it stands for. One that would lose
 * something asks first, in its own place, naming what.
 */

import { h, say } from "./elements.js";

/**
 * @typedef {object} Action
 * @property {string} label
 * @property {() => Promise<unknown>} run
 * @property {() => string} [warning] what would be lost; asked before `run`
 * @property {string} [confirm] the label of the button that goes ahead
 */

/**
 * @param {Action} action
 * @returns {{element: HTMLElement, reset: () => void}} `reset` makes it ready to be clicked again
 */
export function actionButton({ label, run, warning, confirm = label }) {
  const button = h("button", { type: "button", class: "button", click: start }, label);
  const refusal = h("p", { class: "refusal", role: "alert", hidden: true });
  const element = h("div", { class: "action" }, button, refusal);
  /** @type {HTMLElement | null} */
  let asking = null;

  function start() {
    if (busy()) return;
    say(refusal, null);
    if (warning) ask(warning());
    else void go();
  }

  /** @param {string} text */
  function ask(text) {
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
  }

  return { element, reset };
}
