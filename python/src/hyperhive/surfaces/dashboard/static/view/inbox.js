/**
 * An agent's messages and questions, filtered: what it has not dealt with, from whom, to whom.
 *
 * Each filter says how many there are, questions that wait apart, so that "three questions from bob" is
 * seen without a click. What waits is listed whole, however old, and counted by the hive; other counts are
 * of what is loaded, with a plus where there is more; that is paged.
 */

import { changed } from "../state/messages.js";
import { canBeAnswered } from "../state/questions.js";
import { get } from "../wire/api.js";
import { h, KeyedList, say } from "./elements.js";
import { MessageItem } from "./message.js";
import { questionItem } from "./question.js";
import { counted } from "./words.js";

/** @typedef {import("../types.js").Message} Message */
/** @typedef {import("../types.js").Question} Question */
/** @typedef {{key: string, label: string, messages: number, questions: number}} Choice */

const PAGE_SIZE = 200;
/** How many that wait are listed of each kind: those that were queued, and those that were handed over. */
const WAITING_SIZE = 500;

export class Inbox {
  #name;
  #store;
  #chosen = "unread";
  /** @type {Map<number, Message>} the newest ones, as many as were asked for, and those that wait */
  #rows = new Map();
  /** The oldest one down to which all are loaded. */
  #oldest = Infinity;
  /** @type {import("../types.js").HiveEvent[] | null} those that came while messages were being listed */
  #early = null;
  #limit = PAGE_SIZE;
  #more = false;
  #filters = h("div", { class: "filters", role: "group", "aria-label": "Show" });
  #questions = h("ol", { class: "decision-rows" });
  #list = h("ol", { class: "rows", "aria-label": "Messages, newest first" });
  #empty = h("p", { class: "quiet", hidden: true }, "Nothing here.");
  #older = h("button", { type: "button", class: "button", hidden: true, click: () => this.load(true) }, "Older messages");
  #trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  /** @type {KeyedList<Choice>} */
  #choices;
  /** @type {KeyedList<Question>} */
  #asked;
  /** @type {KeyedList<Message>} */
  #shown;

  /**
   * @param {string} name the agent's
   * @param {import("../state/store.js").Store} store
   * @param {(message: Message) => void} reply
   */
  constructor(name, store, reply) {
    this.#name = name;
    this.#store = store;
    this.#choices = new KeyedList(this.#filters, (choice) => this.#choice(choice));
    this.#asked = new KeyedList(this.#questions, (question) => questionItem(question, store, "inbox"));
    this.#shown = new KeyedList(this.#list, (message) => new MessageItem(message, { store, reply, place: `inbox-${name}`, actionsAlways: true }));
    this.element = h("div", { class: "inbox-panel" }, this.#filters, this.#questions, h("div", { class: "inbox-rows" }, this.#list), this.#empty, this.#trouble, this.#older);
  }

  /** @param {boolean} more */
  async load(more) {
    if (more) this.#limit += PAGE_SIZE;
    this.#early = [];
    try {
      const page = await this.#page(more ? `&before=${this.#oldest}` : "");
      // In this order: what is handed over between the two is in the second.
      const queued = more ? [] : (await this.#page("&state=queued", WAITING_SIZE)).messages;
      const leased = more ? [] : (await this.#page("&state=leased", WAITING_SIZE)).messages;
      for (const message of [...page.messages, ...queued, ...leased].filter((each) => this.#isOurs(each))) if (!this.#rows.has(message.id)) this.#rows.set(message.id, message);
      this.#oldest = page.messages.at(-1)?.id ?? this.#oldest;
      this.#more = page.more;
      // What was heard meanwhile may be about messages that were not known by then.
      for (const event of this.#early ?? []) this.#take(event);
      say(this.#trouble, null);
    } catch (error) {
      say(this.#trouble, error instanceof Error ? error.message : String(error));
    }
    this.#early = null;
    this.draw();
  }

  /**
   * @param {string} [which]
   * @param {number} [limit]
   * @returns {Promise<{messages: Message[], more: boolean}>}
   */
  #page(which = "", limit = PAGE_SIZE) {
    return get(`/api/messages?agent=${encodeURIComponent(this.#name)}&limit=${limit}${which}`);
  }

  /** @param {import("../types.js").HiveEvent} event */
  heard(event) {
    if (!event.kind.startsWith("message_")) return;
    this.#take(event);
    this.#early?.push(event);
    // Now and then only: each time they are all sorted.
    if (this.#rows.size > 2 * this.#limit + WAITING_SIZE) this.#cut();
  }

  /** @param {import("../types.js").HiveEvent} event */
  #take(event) {
    const told = event.data.message;
    const known = this.#rows.get(event.data.id ?? told?.id);
    if (known) this.#rows.set(known.id, changed(known, event));
    else if (told && this.#isOurs(told)) this.#rows.set(told.id, told);
  }

  /**
   * Keep the newest ones, and of those that wait behind them so many that a flood stays small.
   *
   * @returns {Message[]} the newest first
   */
  #cut() {
    const all = [...this.#rows.values()].sort((a, b) => b.id - a.id);
    const last = all[this.#limit - 1]?.id ?? -Infinity;
    if (last > this.#oldest) {
      this.#oldest = last;
      this.#more = true;
    }
    const kept = all.filter((message) => message.id >= last || this.#waits(message)).slice(0, this.#limit + WAITING_SIZE);
    this.#rows = new Map(kept.map((message) => [message.id, message]));
    return kept;
  }

  draw() {
    const { questions } = this.#store.state;
    const all = this.#cut();
    this.#older.hidden = !this.#more;
    const asked = [...questions.values()].filter((each) => canBeAnswered(each) && (each.asker === this.#name || each.target === this.#name));
    const choices = this.#counts(all, asked.filter(({ state }) => state === "open"));
    if (!choices.has(this.#chosen)) this.#chosen = "all";
    this.#choices.show(choices);
    const wantedQuestions = asked.filter((question) => this.#wants(question.asker, question.target, question.state === "open" && question.target === this.#name));
    const wanted = all.filter((message) => this.#wants(message.from, message.to, this.#waits(message)));
    this.#asked.show(new Map(wantedQuestions.map((question) => [question.id, question])));
    this.#shown.show(new Map(wanted.map((message) => [message.id, message])));
    this.#empty.hidden = wanted.length + wantedQuestions.length > 0;
  }

  /**
   * @param {Message} message
   * @returns {boolean} whether it is one that the agent has not dealt with
   */
  #waits({ state, to }) {
    return to === this.#name && (state === "queued" || state === "leased");
  }

  /** @param {Message} message */
  #isOurs({ from, to }) {
    return from === this.#name || to === this.#name;
  }

  /**
   * @param {string} from
   * @param {string} to
   * @param {boolean} waits for this agent
   */
  #wants(from, to, waits) {
    if (this.#chosen === "all") return true;
    if (this.#chosen === "unread") return waits;
    return this.#chosen === (to === this.#name ? `from ${from}` : `to ${to}`);
  }

  /**
   * @param {readonly Message[]} messages
   * @param {readonly Question[]} questions
   * @returns {Map<string, Choice>}
   */
  #counts(messages, questions) {
    /** @type {Map<string, Choice>} */
    const choices = new Map();
    const add = (/** @type {string} */ key, /** @type {number} */ some, /** @type {number} */ asked) => {
      const known = choices.get(key) ?? { key, label: key, messages: 0, questions: 0 };
      choices.set(key, { ...known, messages: known.messages + some, questions: known.questions + asked });
    };
    const inbox = this.#store.state.agents.get(this.#name)?.inbox;
    add("unread", inbox ? inbox.queued + inbox.leased : 0, 0);
    add("all", 0, 0);
    for (const message of messages) {
      const toIt = message.to === this.#name;
      add("all", 1, 0);
      add(toIt ? `from ${message.from}` : `to ${message.to}`, 1, 0);
    }
    for (const { asker, target } of questions) {
      const toIt = target === this.#name;
      add("all", 0, 1);
      if (toIt) add("unread", 0, 1);
      add(toIt ? `from ${asker}` : `to ${target}`, 0, 1);
    }
    return new Map([...choices].sort(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1)));
  }

  /**
   * @param {Choice} choice
   * @returns {import("./elements.js").Item<Choice>}
   */
  #choice({ key }) {
    const label = h("span", {}, key.replace(/^(from|to) /, "$1: "));
    const count = h("span", { class: "total" });
    const asked = h("b", { class: "waiting-count", hidden: true });
    const element = h("button", { type: "button", class: "button filter", "data-filter": key, click: () => this.#choose(key) }, label, " ", count, " ", asked);
    return {
      element,
      update: (choice) => {
        element.setAttribute("aria-pressed", String(this.#chosen === key));
        count.textContent = `${choice.messages.toLocaleString("en")}${this.#more && key !== "unread" ? "+" : ""}`;
        say(asked, choice.questions > 0 ? counted(choice.questions, "question") : null);
      },
    };
  }

  /** @param {string} key */
  #choose(key) {
    this.#chosen = key;
    this.draw();
  }
}

/**
 * @param {string} key
 * @returns {number}
 */
function rank(key) {
  const index = ["unread", "all"].indexOf(key);
  return index >= 0 ? index : key.startsWith("from ") ? 2 : 3;
}
