/**
 * The inside of an opened message: its whole body and its history.
 *
 * Both are fetched once, when it is opened; from then on the history follows the stream.
 */

import { get } from "../wire/api.js";
import { h, KeyedList, say } from "./elements.js";
import { now, showMoment, wholeMoment } from "./times.js";
import { counted, sized } from "./words.js";

/** @typedef {import("../types.js").Message} Message */
/** @typedef {import("../types.js").HiveEvent} HiveEvent */

export class MessageDetail {
  #facts = h("p", { class: "facts" });
  #body = h("pre", { class: "body", tabindex: "0", "aria-label": "Body" });
  #history = h("ol", { class: "history", "aria-label": "History" });
  #trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  #loading = h("p", { class: "quiet" }, "Loading…");
  /** @type {Map<number, HiveEvent>} */
  #events = new Map();
  /** @type {KeyedList<HiveEvent>} */
  #list = new KeyedList(this.#history, historyItem);
  #unhear;

  /**
   * @param {Message} message
   * @param {import("./message.js").MessageOptions} options
   */
  constructor(message, { store, reply }) {
    const isAgent = store.state.agents.has(message.from);
    const answer = h(
      "button",
      { type: "button", class: "button", click: () => reply(message) },
      `Reply to ${message.from}`,
    );
    this.element = h(
      "div",
      { class: "message-detail" },
      this.#loading,
      this.#trouble,
      this.#body,
      isAgent && answer,
      this.#facts,
      this.#history,
    );
    this.#body.hidden = true;
    this.update(message);
    this.#unhear = store.hear((event) => {
      if (event.kind.startsWith("message_") && eventMessage(event) === message.id) this.#add([event]);
    });
    this.loaded = this.#load(message.id);
  }

  /** @param {number} id */
  async #load(id) {
    try {
      const whole = /** @type {import("../types.js").WholeMessage} */ (await get(`/api/messages/${id}`));
      this.#body.textContent = whole.body;
      this.#body.hidden = false;
      this.#add(whole.history);
    } catch (error) {
      this.refuse(error);
    }
    this.#loading.hidden = true;
  }

  /** @param {Message} message */
  update(message) {
    const facts = [
      `Message ${message.id}`,
      message.in_reply_to !== null && `in reply to ${message.in_reply_to}`,
      message.at !== null && wholeMoment(message.at),
      message.size > 0 && sized(message.size),
      message.attempts > 0 && counted(message.attempts, "failed attempt"),
      isHeldBack(message) && `not before ${wholeMoment(message.not_before ?? 0)}`,
      message.read_at !== null && `read ${wholeMoment(message.read_at)}`,
    ];
    say(this.#facts, facts.filter(Boolean).join(" · "));
  }

  /** @param {unknown} error */
  refuse(error) {
    say(this.#trouble, error instanceof Error ? error.message : String(error));
  }

  /** @param {readonly HiveEvent[]} events */
  #add(events) {
    for (const event of events) this.#events.set(event.seq, event);
    this.#list.show(new Map([...this.#events].sort(([a], [b]) => a - b)));
  }

  removed() {
    this.#unhear();
  }
}

/**
 * @param {Message} message
 * @returns {boolean}
 */
function isHeldBack({ state, not_before }) {
  return state === "queued" && not_before !== null && not_before > now();
}

/**
 * @param {HiveEvent} event
 * @returns {number | undefined}
 */
function eventMessage(event) {
  return event.data.id ?? event.data.message?.id;
}

/**
 * @param {HiveEvent} event
 * @returns {import("./elements.js").Item<HiveEvent>}
 */
function historyItem(event) {
  const time = h("time", { class: "at" });
  showMoment(time, event.at);
  const { turn, attempts, reason } = event.data;
  const facts = [
    turn && `turn ${turn}`,
    typeof attempts === "number" && attempts > 0 && counted(attempts, "failed attempt"),
    reason,
  ];
  const step = event.kind.replace(/^message_/, "").replaceAll("_", " ");
  const by = event.actor ? ` by ${event.actor}` : "";
  const about = facts.filter(Boolean).join(" · ");
  const words = h("span", { class: "what" }, `${step}${by}`, about && h("span", { class: "quiet" }, ` · ${about}`));
  return { element: h("li", {}, time, words), update: () => {} };
}
