/** One reminder: when, whose, how it stands and why; opened, its whole text and what can be done. */

import { get } from "../wire/api.js";
import { actionButton, ask } from "./actions.js";
import { h, say } from "./elements.js";
import { showLeft, showMoment, wholeMoment } from "./times.js";
import { agentLink, chip, counted, showChip, sized } from "./words.js";

/** @typedef {import("../types.js").Reminder} Reminder */

/**
 * @param {Reminder} first
 * @param {import("../state/store.js").Store} store
 * @returns {import("./elements.js").Item<Reminder>}
 */
export function reminderItem(first, store) {
  const path = `/api/reminders/${first.id}`;
  const time = h("time", { class: "at" });
  const left = h("time", { class: "left" });
  const state = chip();
  const preview = h("span", { class: "text" });
  const error = h("p", { class: "refusal", hidden: true });
  const facts = h("p", { class: "facts" });
  const body = h("pre", { class: "body", tabindex: "0", "aria-label": "Text", hidden: true });
  const trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  const cancel = actionButton({
    label: "Cancel",
    confirm: "Cancel it",
    warning: () => `${first.agent} will not be reminded of “${first.preview.slice(0, 60)}”.`,
    run: () => ask(store, `${path}/cancel`),
  });
  const retry = actionButton({ label: "Retry", run: () => ask(store, `${path}/retry`) });
  const element = h(
    "li",
    { class: "reminder", "data-reminder": first.id },
    h(
      "details",
      { class: "decided", toggle: open },
      h("summary", {}, time, state, h("span", { class: "name" }, first.agent), preview, left),
      h("div", { class: "inside" }, body, trouble, facts, agentLink(first.agent)),
    ),
    error,
    h("div", { class: "decide" }, retry.element, cancel.element),
  );
  let loaded = false;

  /** @param {Event} event */
  async function open(event) {
    if (loaded || !(event.target instanceof HTMLDetailsElement) || !event.target.open) return;
    loaded = true;
    try {
      const whole = await get(path);
      body.textContent = whole.body ?? whole.message_text ?? first.preview;
      body.hidden = false;
      say(trouble, null);
    } catch (why) {
      loaded = false;
      say(trouble, why instanceof Error ? why.message : String(why));
    }
  }

  /** @type {Reminder["state"] | null} */
  let before = null;
  return {
    element,
    update(reminder) {
      showMoment(time, reminder.delivered_at ?? reminder.due_at);
      showLeft(left, reminder.state === "pending" ? reminder.next_at : null);
      showChip(state, reminder.state);
      if (preview.textContent !== reminder.preview) preview.textContent = reminder.preview;
      const tries = reminder.attempts > 0 ? ` (after ${counted(reminder.attempts, "attempt")})` : "";
      say(error, reminder.last_error ? `${reminder.last_error}${tries}` : null);
      say(facts, factsOf(reminder));
      if (before !== reminder.state) {
        retry.reset();
        cancel.reset();
      }
      before = reminder.state;
      retry.element.hidden = reminder.state !== "failed";
      cancel.element.hidden = !["pending", "failed", "proposed"].includes(reminder.state);
    },
  };
}

/**
 * @param {Reminder} reminder
 * @returns {string}
 */
function factsOf(reminder) {
  const { id, at, due_at: due, bytes, file_path: file, repeat_every_seconds: every, deliveries, late, message } = reminder;
  const facts = [
    `Reminder ${id}`,
    `asked for ${wholeMoment(at)}`,
    `due ${wholeMoment(due)}`,
    bytes > 0 && sized(bytes),
    file && `into ${file}`,
    every && `every ${every.toLocaleString("en")} s`,
    deliveries > 0 && `delivered ${deliveries === 1 ? "once" : `${deliveries} times`}`,
    late && "late",
    message && `message ${message}`,
  ];
  return facts.filter(Boolean).join(" · ");
}
