/**
 * Holds the page's state and tells views when it changed.
 *
 * Any number of changes before the next frame are drawn once: a burst of a thousand events costs
 * one drawing. A hidden page has no frames, so it is drawn by a slow timer, for its title.
 */

/** @typedef {import("../types.js").State} State */
/** @typedef {import("../types.js").HiveEvent} HiveEvent */

const HIDDEN_DRAW_MS = 1000;

export class Store {
  /** @type {State} */
  #state;
  /** @type {Set<(state: State) => void>} */
  #views = new Set();
  /** @type {Set<(event: HiveEvent) => void>} */
  #listeners = new Set();
  /** @type {Set<() => void>} */
  #renewals = new Set();
  /** @type {{seq: number, epoch: string, tell: () => void}[]} */
  #awaited = [];
  #due = false;

  /** @param {State} state */
  constructor(state) {
    this.#state = state;
  }

  get state() {
    return this.#state;
  }

  /**
   * Draw `view` now and after every change; the returned function ends that.
   *
   * @param {(state: State) => void} view
   * @returns {() => void}
   */
  show(view) {
    this.#views.add(view);
    view(this.#state);
    return () => this.#views.delete(view);
  }

  /**
   * Hear every event after it was applied; the returned function ends that.
   *
   * @param {(event: HiveEvent) => void} listener
   * @returns {() => void}
   */
  hear(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Hear that the page begins anew: events were missed for ever, so that what was fetched is no longer true.
   *
   * @param {() => void} listener
   */
  heedRenewal(listener) {
    this.#renewals.add(listener);
  }

  /** @param {State} state of a new snapshot */
  renew(state) {
    this.update(() => state);
    for (const listener of this.#renewals) listener();
  }

  /**
   * Tell everybody who hears. Who fails at it is reported and keeps nothing from the others.
   *
   * @param {HiveEvent} event
   */
  announce(event) {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        reportError(error);
      }
    }
  }

  /** @param {(state: State) => State} change a pure function */
  update(change) {
    const next = change(this.#state);
    if (next === this.#state) return;
    this.#state = next;
    if (this.#due) return;
    this.#due = true;
    if (document.hidden) setTimeout(() => this.draw(), HIDDEN_DRAW_MS);
    else requestAnimationFrame(() => this.draw());
  }

  /**
   * Wait until everything up to a position is drawn, so that what was asked for is seen.
   *
   * @param {number} seq
   * @returns {Promise<void>} fulfilled too when another history has begun, which has no such position
   */
  reached(seq) {
    return new Promise((tell) => {
      this.#awaited.push({ seq, epoch: this.#state.epoch, tell });
      if (!this.#due) this.#tellReached();
    });
  }

  /** Draw what has changed without waiting for the next frame. */
  draw() {
    this.#due = false;
    for (const view of this.#views) view(this.#state);
    this.#tellReached();
  }

  #tellReached() {
    const { seq, epoch } = this.#state;
    const isThere = (/** @type {{seq: number, epoch: string}} */ each) => each.seq <= seq || each.epoch !== epoch;
    const there = this.#awaited.filter(isThere);
    this.#awaited = this.#awaited.filter((each) => !isThere(each));
    for (const { tell } of there) tell();
  }
}
