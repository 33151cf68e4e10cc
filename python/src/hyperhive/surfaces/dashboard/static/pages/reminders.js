/**
 * The page of reminders: those that wait, those that failed and why, those that came, filtered.
 *
 * What a filter finds is fetched when it is set and then follows the stream; older ones are paged.
 */

import { total } from "../state/reminders.js";
import { h, KeyedList, say } from "../view/elements.js";
import { reminderItem } from "../view/reminder.js";
import { counted } from "../view/words.js";
import { get } from "../wire/api.js";

/** @typedef {import("../types.js").Reminder} Reminder */

const PAGE_SIZE = 100;
/** Rows that are shown at most: narrower filters find the rest. */
const ROWS_MAX = 1000;
const TYPING_MS = 250;

/**
 * @param {import("../state/store.js").Store} store
 * @returns {import("../router.js").Page}
 */
export function openRemindersPage(store) {
  const counts = h("p", { class: "quiet" });
  const state = h("select", { id: "reminders-state" }, ...["pending", "failed", "delivered", "cancelled", ""].map((value) => h("option", { value }, value || "all")));
  const agent = h("select", { id: "reminders-agent" });
  const text = h("input", { id: "reminders-text", type: "search", autocomplete: "off" });
  const trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  const empty = h("p", { class: "quiet", hidden: true }, "There is none like this.");
  const rows = h("ol", { class: "decision-rows" });
  const older = h("button", { type: "button", class: "button", hidden: true, click: () => load(true) }, "More");
  /** @type {KeyedList<string>} */
  const agents = new KeyedList(agent, (name) => ({ element: h("option", { value: name }, name || "every agent"), update: () => {} }));
  /** @type {KeyedList<Reminder>} */
  const list = new KeyedList(rows, (reminder) => reminderItem(reminder, store));
  /** @type {Map<number, Reminder>} */
  let found = new Map();
  let asked = 0;
  /** The last one of the last listing: events may bring older ones. */
  let oldest = Infinity;
  /** @type {import("../types.js").HiveEvent[] | null} those that came while reminders were being listed */
  let early = null;
  let due = false;
  const element = h(
    "div",
    { class: "page", id: "reminders" },
    h(
      "section",
      { class: "panel", "aria-labelledby": "reminders-title" },
      h("h2", { id: "reminders-title", tabindex: "-1" }, "Reminders"),
      counts,
      h(
        "form",
        { class: "filters", role: "search", "aria-label": "Reminders", submit: (/** @type {Event} */ event) => event.preventDefault() },
        h("label", { for: state.id }, "State"),
        state,
        h("label", { for: agent.id }, "Agent"),
        agent,
        h("label", { for: text.id }, "Text"),
        text,
      ),
      trouble,
      empty,
      rows,
      older,
    ),
  );
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  state.addEventListener("change", () => load(false));
  agent.addEventListener("change", () => load(false));
  text.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => load(false), TYPING_MS);
  });

  /** @param {Reminder} reminder */
  function matches(reminder) {
    const words = text.value.trim().toLowerCase();
    return (
      (!state.value || reminder.state === state.value) &&
      (!agent.value || reminder.agent === agent.value) &&
      (!words || reminder.preview.toLowerCase().includes(words))
    );
  }

  /** @param {boolean} more */
  async function load(more) {
    asked += 1;
    early = [];
    const mine = asked;
    const query = new URLSearchParams({ limit: String(PAGE_SIZE) });
    if (state.value) query.set("state", state.value);
    if (agent.value) query.set("agent", agent.value);
    if (text.value.trim()) query.set("text", text.value.trim());
    if (more) query.set("before", String(oldest));
    try {
      const page = await get(`/api/reminders?${query}`);
      if (mine !== asked) return;
      if (!more) found = new Map();
      for (const reminder of page.reminders) found.set(reminder.id, reminder);
      oldest = page.reminders.at(-1)?.id ?? oldest;
      for (const event of early ?? []) take(event);
      early = null;
      older.hidden = !page.more || found.size >= ROWS_MAX;
      say(trouble, null);
      draw();
    } catch (error) {
      if (mine !== asked) return;
      early = null;
      say(trouble, error instanceof Error ? error.message : String(error));
    }
  }

  function draw() {
    due = false;
    const soonest = state.value === "pending";
    const order = [...found.values()].sort((a, b) => (soonest ? a.next_at - b.next_at || a.id - b.id : b.due_at - a.due_at || b.id - a.id));
    const shown = order.slice(0, ROWS_MAX);
    found = new Map(shown.map((reminder) => [reminder.id, reminder]));
    list.show(found);
    empty.hidden = found.size > 0;
  }

  /**
   * @param {import("../types.js").HiveEvent} event
   * @returns {boolean} whether it changes what is shown
   */
  function take({ data: { reminder } }) {
    if (!matches(reminder)) return found.delete(reminder.id);
    found.set(reminder.id, reminder);
    return true;
  }

  store.hear((event) => {
    if (!event.kind.startsWith("reminder_")) return;
    early?.push(event);
    if (!take(event)) return;
    // Ten thousand that come due at once are drawn a few times, not ten thousand times.
    if (due) return;
    due = true;
    requestAnimationFrame(draw);
  });
  /** @type {unknown} */
  let shown = null;
  store.show((now) => {
    if (now.agents !== shown) agents.show(new Map(["", ...[...now.agents.keys()].sort()].map((name) => [name, name])));
    shown = now.agents;
    const { pending, failed } = total(now.reminders);
    const what = `${counted(pending, "reminder")} to come, ${failed.toLocaleString("en")} failed`;
    if (counts.textContent !== what) counts.textContent = what;
  });
  let entered = false;
  store.heedRenewal(() => entered && void load(false));
  return {
    element,
    enter(argument) {
      if (argument && store.state.agents.has(argument)) agent.value = argument;
      if (!entered || argument) void load(false);
      entered = true;
      return "Reminders";
    },
  };
}
