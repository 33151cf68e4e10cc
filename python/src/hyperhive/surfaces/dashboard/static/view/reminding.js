/** What an agent is to be reminded of, and what failed: listed when its page is first looked at, then told by events. */

import { get } from "../wire/api.js";
import { h, KeyedList, say } from "./elements.js";
import { panel } from "./panel.js";
import { reminderItem } from "./reminder.js";

/** @typedef {import("../types.js").Reminder} Reminder */
/** @typedef {import("../types.js").HiveEvent} HiveEvent */

/** How many are shown: the page of reminders has the rest. */
const SHOWN = 50;
/** How many of each state are listed. */
const LISTED = 500;
const STATES = ["failed", "pending"];

export class Reminding {
  #agent;
  #store;
  #rows = h("ol", { class: "decision-rows" });
  #trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  /** @type {KeyedList<Reminder>} */
  #list;
  /** @type {Map<number, Reminder>} */
  #found = new Map();
  /** Whether there are more than were listed. */
  #more = false;
  /** @type {HiveEvent[] | null} those that came while reminders were being listed */
  #early = null;

  /**
   * @param {string} agent
   * @param {import("../state/store.js").Store} store
   */
  constructor(agent, store) {
    this.#agent = agent;
    this.#store = store;
    this.#list = new KeyedList(this.#rows, (reminder) => reminderItem(reminder, store));
    const all = h("a", { href: `#/reminders/${encodeURIComponent(agent)}` }, "All of its reminders");
    this.element = panel("agent-reminders-title", "Reminders", this.#trouble, this.#rows, all);
  }

  async load() {
    this.#early = [];
    try {
      const about = `/api/reminders?agent=${encodeURIComponent(this.#agent)}&limit=${LISTED}`;
      const pages = await Promise.all(STATES.map((state) => get(`${about}&state=${state}`)));
      this.#found = new Map(pages.flatMap(({ reminders }) => reminders).map((reminder) => [reminder.id, reminder]));
      this.#more = pages.some(({ more }) => more);
      for (const event of this.#early) this.#take(event);
      say(this.#trouble, null);
    } catch (error) {
      say(this.#trouble, error instanceof Error ? error.message : String(error));
    }
    this.#early = null;
    this.draw();
  }

  /** @param {HiveEvent} event */
  heard(event) {
    if (!event.kind.startsWith("reminder_")) return;
    this.#take(event);
    this.#early?.push(event);
    // What was not listed has its turn when much of what was is over.
    if (this.#more && this.#found.size < SHOWN && !this.#early) void this.load();
  }

  /** @param {HiveEvent} event */
  #take({ data: { reminder } }) {
    if (reminder.agent === this.#agent && STATES.includes(reminder.state)) this.#found.set(reminder.id, reminder);
    else this.#found.delete(reminder.id);
  }

  draw() {
    this.element.hidden = !this.#store.state.reminders.has(this.#agent);
    const order = [...this.#found.values()].sort(byUrgency).slice(0, SHOWN);
    this.#list.show(new Map(order.map((reminder) => [reminder.id, reminder])));
  }
}

/**
 * @param {Reminder} a
 * @param {Reminder} b
 * @returns {number} those first that have failed, then those that come next
 */
function byUrgency(a, b) {
  return STATES.indexOf(a.state) - STATES.indexOf(b.state) || a.next_at - b.next_at || a.id - b.id;
}
