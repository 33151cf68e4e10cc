/**
 * Fetches again what events only say to be outdated: not more often than every few seconds, and only while it is
 * looked at. What changes with the time alone is as it was when it was fetched, which is said beside it.
 */

import { h } from "./elements.js";
import { now, showMoment } from "./times.js";

const PAUSE_MS = 5_000;

export class Refresher {
  #place;
  #load;
  #isOutdated = true;
  #notBefore = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #later;
  #at = h("time", {});
  /** When that was, and a button that asks anew. */
  element = h("p", { class: "quiet looked" }, h("span", {}, "As it was at ", this.#at), h("button", { type: "button", class: "button", click: () => this.#fetch() }, "Look again"));

  /**
   * @param {HTMLElement} place where it is shown
   * @param {() => Promise<void>} load
   */
  constructor(place, load) {
    this.#place = place;
    this.#load = load;
  }

  /** Hear that what is shown is no longer true. */
  outdate() {
    this.#isOutdated = true;
    this.look();
  }

  /** Fetch what is outdated, if somebody looks. */
  look() {
    if (!this.#isOutdated || this.#later !== undefined) return;
    const wait = this.#notBefore - performance.now();
    if (wait > 0) this.#later = setTimeout(() => this.#waited(), wait);
    else if (!document.hidden && this.#place.offsetParent !== null) void this.#fetch();
  }

  #waited() {
    this.#later = undefined;
    this.look();
  }

  async #fetch() {
    this.#isOutdated = false;
    this.#notBefore = performance.now() + PAUSE_MS;
    const at = now();
    await this.#load();
    showMoment(this.#at, at);
  }
}
