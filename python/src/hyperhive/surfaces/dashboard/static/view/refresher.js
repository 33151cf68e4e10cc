/**
 * Fetches again what events only say to be outdated: not more often than every few seconds, and only while it is
 * looked at. What changes with the time alone is as it was when it was fetched, which is said beside it.
 */

import { h, say } from "./elements.js";
import { now, showMoment } from "./times.js";

const PAUSE_MS = 5_000;

export class Refresher {
  #place;
  #load;
  #isOutdated = true;
  #notBefore = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #later;
  #trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  #at = h("time", {});
  #looked = h("p", { class: "quiet looked" }, h("span", {}, "As it was at ", this.#at), h("button", { type: "button", class: "button", click: () => this.again() }, "Look again"));
  /** What went wrong, when it was fetched, and a button that fetches anew. */
  element = h("div", {}, this.#trouble, this.#looked);

  /**
   * @param {HTMLElement} place where it is shown
   * @param {() => Promise<void>} load fetches and shows it, or throws
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
    else if (!document.hidden && this.#place.offsetParent !== null) void this.again();
  }

  #waited() {
    this.#later = undefined;
    this.look();
  }

  /** Fetch it now. */
  async again() {
    this.#isOutdated = false;
    this.#notBefore = performance.now() + PAUSE_MS;
    const at = now();
    try {
      await this.#load();
      showMoment(this.#at, at);
      say(this.#trouble, null);
    } catch (error) {
      this.#isOutdated = true;
      say(this.#trouble, error instanceof Error ? error.message : String(error));
    }
  }
}
