/** What hangs on an agent: listed when its page is first looked at, from then on told by events. */

import { apply, fromListing, inOrder } from "../state/threads.js";
import { get } from "../wire/api.js";
import { actionButton, ask } from "./actions.js";
import { h, KeyedList, say } from "./elements.js";
import { showSince } from "./times.js";
import { webLink } from "./words.js";

/** @typedef {import("../types.js").Thread} Thread */
/** @typedef {import("../types.js").HiveEvent} HiveEvent */

/** What is settled where it is: a pull request on the forge. */
const ELSEWHERE = "pull_request";

export class ThreadList {
  #agent;
  #rows = h("ul", { class: "decision-rows" });
  #none = h("p", { class: "quiet", hidden: true });
  #more = h("p", { class: "quiet", hidden: true });
  #trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  #list;
  /** @type {import("../state/threads.js").Threads | null} null until they are listed */
  #threads = null;
  /** @type {HiveEvent[] | null} those that came while they were being listed */
  #early = null;

  /**
   * @param {string} agent
   * @param {import("../state/store.js").Store} store
   */
  constructor(agent, store) {
    this.#agent = agent;
    /** @type {KeyedList<Thread>} */
    this.#list = new KeyedList(this.#rows, (thread) => threadItem(thread, store));
    this.element = h("div", {}, this.#trouble, this.#none, this.#rows, this.#more);
  }

  async load() {
    this.#early = [];
    try {
      const { threads, more, seq } = await get(`/api/threads?agent=${encodeURIComponent(this.#agent)}`);
      this.#threads = fromListing(threads);
      for (const event of this.#early) if (event.seq > seq) this.#take(event);
      say(this.#more, more.length > 0 ? `There are more of these than are shown: ${more.join(", ").replaceAll("_", " ")}.` : null);
      say(this.#trouble, null);
      this.draw();
    } catch (error) {
      say(this.#trouble, error instanceof Error ? error.message : String(error));
    }
    this.#early = null;
  }

  /** @param {HiveEvent} event */
  heard(event) {
    this.#take(event);
    this.#early?.push(event);
  }

  /** @param {HiveEvent} event */
  #take(event) {
    if (this.#threads) this.#threads = apply(this.#threads, event, this.#agent);
  }

  draw() {
    if (!this.#threads) return;
    this.#list.show(inOrder(this.#threads));
    say(this.#none, this.#threads.size === 0 ? "Nothing hangs on it." : null);
  }
}

/**
 * @param {Thread} first
 * @param {import("../state/store.js").Store} store
 * @returns {import("./elements.js").Item<Thread>}
 */
function threadItem(first, store) {
  const text = h("span", { class: "text" });
  const since = h("time", { class: "since" });
  const about = h("span", { class: "quiet" });
  const noun = first.kind.replaceAll("_", " ");
  const cancel = actionButton({
    label: "Cancel",
    confirm: "Cancel it",
    warning: () => `This ${noun} is withdrawn.`,
    run: () => ask(store, `/api/threads/${encodeURIComponent(first.kind)}/${first.id}/cancel`),
  });
  cancel.element.hidden = first.kind === ELSEWHERE;
  const element = h("li", { class: "thread", "data-thread": `${first.kind}-${first.id}` }, h("span", { class: "tag" }, noun), text, about, since, cancel.element);
  return {
    element,
    update(thread) {
      text.replaceChildren(thread.url ? webLink(thread.url, thread.summary) : thread.summary);
      say(about, thread.with ? `with ${thread.with}` : null);
      showSince(since, thread.since || null);
    },
  };
}
