/** The header: which hive this is, whether what is shown is true now, and what waits for the operator. */

import { part } from "./elements.js";
import { moment, now } from "./times.js";

/** @typedef {import("../types.js").ConnectionState} ConnectionState */

/** @type {Record<ConnectionState, string>} */
const WORDS = {
  connecting: "connecting",
  live: "live",
  reconnecting: "reconnecting",
  stale: "stale",
};

export class Header {
  #name = part("hive-name", HTMLElement);
  #version = part("hive-version", HTMLElement);
  #connection = part("connection", HTMLElement);
  #notice = part("stale-notice", HTMLElement);
  #unread = part("unread", HTMLButtonElement);
  /** When the page was last known to be true, by the server's clock. */
  #trueAt = now();
  #stopping = false;
  /** @type {ConnectionState} */
  #state = "connecting";

  /**
   * @param {import("../state/store.js").Store} store
   * @param {() => void} openUnread
   */
  constructor(store, openUnread) {
    this.#unread.addEventListener("click", openUnread);
    store.show(({ hive, operator }) => {
      this.#name.textContent = hive.name;
      this.#version.textContent = hive.version;
      this.#unread.textContent = unreadText(operator.unread);
      this.#unread.disabled = operator.unread === 0;
      document.title = `${operator.unread > 0 ? `(${operator.unread}) ` : ""}${hive.name} · Hyperhive`;
      this.#stopping = hive.stopping;
      this.#draw();
    });
  }

  /** @param {ConnectionState} connection */
  connected(connection) {
    if (this.#state === "live" && connection !== "live") this.#trueAt = now();
    this.#state = connection;
    this.#draw();
  }

  #draw() {
    const text = this.#stopping ? "hive is stopping" : WORDS[this.#state];
    if (this.#connection.textContent !== text) this.#connection.textContent = text;
    this.#connection.className = `connection is-${this.#state}`;
    const stale = this.#state === "stale";
    this.#notice.hidden = !stale;
    if (stale) {
      this.#notice.textContent = `No connection to the hive. This is what was true at ${moment(this.#trueAt)}.`;
    }
  }
}

/**
 * @param {number} count
 * @returns {string}
 */
function unreadText(count) {
  return count === 0 ? "nothing unread" : `${count.toLocaleString("en")} unread`;
}
