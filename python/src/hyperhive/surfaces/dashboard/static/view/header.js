/** The header: which hive this is, whether what is shown is true now, and what waits for the operator. */

import { isGrave } from "../state/alerts.js";
import { isForOperator } from "../state/questions.js";
import { total } from "../state/reminders.js";
import { part, say } from "./elements.js";
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
  #place = "";
  #waiting = 0;
  #hive = "";
  /** @type {ConnectionState} */
  #state = "connecting";

  /**
   * @param {import("../state/store.js").Store} store
   * @param {() => void} openUnread
   */
  constructor(store, openUnread) {
    this.#unread.addEventListener("click", openUnread);
    const loaded = store.state.hive.version;
    const renewed = part("version-notice", HTMLElement);
    const toDecide = part("to-decide", HTMLElement);
    const failed = part("reminders-failed", HTMLElement);
    store.show((state) => {
      const { hive, operator } = state;
      const decisions = decisionsOf(state);
      badge(toDecide, decisions, "to decide");
      badge(failed, total(state.reminders).failed, "failed");
      say(this.#name, hive.name);
      say(this.#version, hive.version);
      renewed.hidden = hive.version === loaded;
      say(this.#unread, unreadText(operator.unread));
      this.#unread.disabled = operator.unread === 0;
      this.#waiting = operator.unread + decisions + [...state.alerts.values()].filter(isGrave).length;
      this.#hive = hive.name;
      this.#title();
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

  /** @param {string} title of the page that is shown */
  moved(title) {
    this.#place = title === "Hyperhive" ? "" : title;
    this.#title();
  }

  #title() {
    const count = this.#waiting > 0 ? `(${this.#waiting}) ` : "";
    const place = this.#place ? `${this.#place} · ` : "";
    const title = `${count}${place}${this.#hive} · Hyperhive`;
    if (document.title !== title) document.title = title;
  }

  #draw() {
    const text = this.#stopping ? "hive is stopping" : WORDS[this.#state];
    if (this.#connection.textContent !== text) this.#connection.textContent = text;
    const look = `connection is-${this.#state}`;
    if (this.#connection.className !== look) this.#connection.className = look;
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

/**
 * @param {import("../types.js").State} state
 * @returns {number} what waits for a word of the operator
 */
export function decisionsOf({ approvals, questions }) {
  const pending = [...approvals.values()].filter(({ state }) => state === "pending").length;
  return pending + [...questions.values()].filter(isForOperator).length;
}

/**
 * @param {HTMLElement} element
 * @param {number} count
 * @param {string} noun
 */
function badge(element, count, noun) {
  say(element, count > 0 ? count.toLocaleString("en") : null);
  const title = `${count.toLocaleString("en")} ${noun}`;
  if (element.title !== title) element.title = title;
}
