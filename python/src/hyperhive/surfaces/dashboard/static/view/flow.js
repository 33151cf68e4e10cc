/**
 * The live flow of messages, newest at the bottom.
 *
 * It stays at the bottom while it is there; scrolled up, what is being read stays where it is, and a
 * button tells how many have come since. Only one row is a tab stop: arrow keys move between rows.
 */

import { NEWEST_KEPT, readable, withOlder, withReading, withStretch } from "../state/messages.js";
import { OPERATOR } from "../state/operator.js";
import { get } from "../wire/api.js";
import { KeyedList, part, say } from "./elements.js";
import { MessageItem } from "./message.js";

/** @typedef {import("../types.js").Message} Message */
/** @typedef {import("../types.js").State} State */

/** Pixels from the end that still count as the end. */
const END_SLACK = 32;
const PAGE_SIZE = 100;
/** What comes sooner after the last is a flow and no news: to light each row up would repaint all of them all the time. */
const GLANCE_MS = 1_200;
/** How many of the operator's messages are looked through at once for one that is unread. */
const SEARCH_SIZE = 500;

export class Flow {
  #store;
  #scroller = part("flow", HTMLElement);
  #rows = part("flow-rows", HTMLOListElement);
  #empty = part("flow-empty", HTMLElement);
  #older = part("flow-older", HTMLButtonElement);
  #trouble = part("flow-trouble", HTMLElement);
  #newer = part("flow-newer", HTMLButtonElement);
  #list;
  #following = true;
  #seen = 0;
  /** The newest message on the page; the first ones are none that came. */
  #newest = Infinity;
  /** When the last one came. */
  #came = -Infinity;
  /** @type {State["messages"] | null} */
  #shown = null;
  /** @type {number | null} */
  #tabStop = null;

  /**
   * @param {import("../state/store.js").Store} store
   * @param {(message: Message) => void} reply
   */
  constructor(store, reply) {
    this.#store = store;
    /** @param {MessageItem} item */
    const resized = (item) => {
      if (item.isOpen) item.element.scrollIntoView({ block: "nearest" });
      this.#measure();
    };
    const options = { store, reply, place: "flow", resized };
    /** @type {KeyedList<Message>} */
    this.#list = new KeyedList(this.#rows, (message) => this.#row(message, options));
    this.#scroller.addEventListener("scroll", () => this.#measure(), { passive: true });
    this.#older.addEventListener("click", () => this.#loadOlder());
    this.#newer.addEventListener("click", () => this.#toEnd());
    this.#rows.addEventListener("keydown", (event) => this.#move(event));
    this.#rows.addEventListener("focusin", (event) => this.#focused(event));
    new ResizeObserver(() => this.#following && this.#stick()).observe(this.#scroller);
    store.show((state) => this.#show(state));
  }

  /** Open the oldest message the operator has not read, however old: what is around it is shown with it. */
  async openUnread() {
    await this.#trying(async () => {
      const id = await this.#oldestUnread();
      if (id === null) return;
      if (!this.#list.item(id)) {
        const page = await get(`/api/messages?before=${id + PAGE_SIZE / 2}&limit=${PAGE_SIZE}`);
        this.#following = false;
        this.#change((messages) => withStretch(messages, page));
      }
      this.#openMessage(id);
    });
  }

  /** @returns {Promise<number | null>} */
  async #oldestUnread() {
    const { messages, operator } = this.#store.state;
    const known = [...messages.rows.values()].filter(isUnread);
    if (known.length >= operator.unread) return known[0]?.id ?? null;
    let oldest = null;
    let before = "";
    for (let left = operator.unread; left > 0; ) {
      const page = await get(`/api/messages?agent=${OPERATOR}&limit=${SEARCH_SIZE}${before}`);
      const unread = page.messages.filter(isUnread);
      oldest = unread.at(-1)?.id ?? oldest;
      left -= unread.length;
      if (!page.more) break;
      before = `&before=${page.messages.at(-1).id}`;
    }
    return oldest;
  }

  /** @param {State} state */
  #show({ messages }) {
    const { rows, older, gap } = messages;
    if (rows === this.#shown?.rows && older === this.#shown.older && gap === this.#shown.gap) return;
    const anchor = this.#following ? null : this.#anchor();
    const shown = readable(messages);
    this.#shown = messages;
    this.#list.show(shown);
    this.#newest = newest(rows) ?? 0;
    this.#empty.hidden = shown.size > 0;
    this.#older.hidden = !messages.more;
    if (!this.#rows.querySelector(".row[tabindex='0']")) this.#setTabStop(newest(shown));
    if (this.#following) this.#stick();
    else if (anchor) this.#scroller.scrollTop += anchor.element.offsetTop - anchor.top;
    this.#count();
  }

  /**
   * @param {Message} message
   * @param {import("./message.js").MessageOptions} options
   */
  #row(message, options) {
    const item = new MessageItem(message, options);
    item.button.tabIndex = -1;
    // Only what comes while somebody looks is worth a glance: not the first rows, not older pages.
    const came = message.id > this.#newest;
    item.element.classList.toggle("is-new", came && performance.now() - this.#came > GLANCE_MS);
    if (came) this.#came = performance.now();
    return item;
  }

  #stick() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #toEnd() {
    this.#following = true;
    this.#change((messages) => withReading(messages, false));
    this.#stick();
    this.#measure();
    const last = newest(this.#store.state.messages.rows);
    if (last !== null) this.#focusRow(last);
  }

  /** Notice whether the end is in view. */
  #measure() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const isEnd = scrollHeight - scrollTop - clientHeight <= END_SLACK;
    this.#following = isEnd && !this.#store.state.messages.gap;
    this.#store.update((state) => {
      const messages = withReading(state.messages, !this.#following);
      return messages === state.messages ? state : { ...state, messages };
    });
    this.#count();
  }

  /**
   * Have other messages shown, at once.
   *
   * @param {(messages: State["messages"]) => State["messages"]} change
   */
  #change(change) {
    this.#store.update((state) => ({ ...state, messages: change(state.messages) }));
    this.#store.draw();
  }

  /** @param {() => Promise<void>} load */
  async #trying(load) {
    say(this.#trouble, null);
    try {
      await load();
    } catch (error) {
      say(this.#trouble, error instanceof Error ? error.message : String(error));
      this.#trouble.scrollIntoView({ block: "nearest" });
    }
  }

  #count() {
    const { rows, gap } = this.#store.state.messages;
    if (this.#following) this.#seen = newest(rows) ?? 0;
    let fresh = 0;
    for (const id of rows.keys()) if (id > this.#seen) fresh += 1;
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const isFar = scrollHeight - scrollTop - clientHeight > clientHeight;
    this.#newer.hidden = this.#following || (fresh === 0 && !isFar && !gap);
    const text = fresh > 0 ? `${fresh}${fresh < NEWEST_KEPT ? "" : "+"} new` : "To the newest";
    if (this.#newer.textContent !== text) this.#newer.textContent = text;
  }

  /** @returns {{element: HTMLElement, top: number} | null} the row at the top of what is in view */
  #anchor() {
    const edge = this.#scroller.scrollTop;
    for (const element of this.#rows.children) {
      if (!(element instanceof HTMLElement)) continue;
      const top = element.offsetTop;
      if (top + element.offsetHeight > edge) return { element, top };
    }
    return null;
  }

  async #loadOlder() {
    if (this.#older.ariaDisabled === "true") return;
    this.#older.ariaDisabled = "true";
    await this.#trying(async () => {
      const before = oldest(this.#store.state.messages);
      const page = await get(`/api/messages?${before === undefined ? "" : `before=${before}&`}limit=${PAGE_SIZE}`);
      // What is read may be elsewhere by now.
      if (oldest(this.#store.state.messages) !== before) return;
      this.#following = false;
      this.#change((messages) => withOlder(messages, page));
    });
    this.#older.ariaDisabled = "false";
  }

  /** @param {number} id */
  #openMessage(id) {
    const item = this.#list.item(id);
    if (!(item instanceof MessageItem)) return;
    item.open();
    this.#focusRow(id);
    item.element.scrollIntoView({ block: "center" });
    this.#measure();
  }

  /** @param {number | null} id */
  #setTabStop(id) {
    const previous = this.#tabStop === null ? undefined : this.#list.item(this.#tabStop);
    if (previous instanceof MessageItem) previous.button.tabIndex = -1;
    const item = id === null ? undefined : this.#list.item(id);
    if (item instanceof MessageItem) item.button.tabIndex = 0;
    this.#tabStop = id;
  }

  /** @param {number} id */
  #focusRow(id) {
    this.#setTabStop(id);
    const item = this.#list.item(id);
    if (item instanceof MessageItem) item.button.focus({ preventScroll: true });
  }

  /** @param {FocusEvent} event */
  #focused(event) {
    const row = event.target instanceof HTMLElement && event.target.closest(".row");
    if (row) this.#setTabStop(rowId(row));
  }

  /** @param {KeyboardEvent} event */
  #move(event) {
    const row = event.target instanceof HTMLElement && event.target.closest(".row");
    const element = row && row.closest("li");
    if (!element || event.altKey || event.ctrlKey || event.metaKey) return;
    /** @type {Record<string, Element | null>} */
    const targets = {
      ArrowUp: element.previousElementSibling,
      ArrowDown: element.nextElementSibling,
      Home: this.#rows.firstElementChild,
      End: this.#rows.lastElementChild,
    };
    const target = targets[event.key];
    if (!(target instanceof HTMLElement)) return;
    event.preventDefault();
    this.#focusRow(Number(target.dataset["id"]));
    target.scrollIntoView({ block: "nearest" });
  }
}

/**
 * @param {Element} row
 * @returns {number | null}
 */
function rowId(row) {
  const element = row.closest("li");
  return element ? Number(element.dataset["id"]) : null;
}

/**
 * @param {Message} message
 * @returns {boolean} whether the operator has yet to read it
 */
function isUnread({ to, read_at }) {
  return to === OPERATOR && read_at === null;
}

/**
 * @param {State["messages"]} messages
 * @returns {number | undefined} the first of those that can be read
 */
function oldest(messages) {
  const [id] = readable(messages).keys();
  return id;
}

/**
 * @param {ReadonlyMap<number, Message>} rows
 * @returns {number | null}
 */
function newest(rows) {
  let id = null;
  for (id of rows.keys());
  return id;
}
