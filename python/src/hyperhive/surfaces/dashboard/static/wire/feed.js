/**
 * One connection to the stream of events, read for ever and handed on piece by piece.
 *
 * It goes on behind the last event it has seen. It knows nothing of what events mean, so it runs in
 * a page or in the worker that pages share.
 */

import { EventParser } from "./sse.js";

/**
 * @typedef {{seq: number, epoch: string}} Position
 * @typedef {{type: "live", at: number | null} | {type: "lost"} | {type: "reset"} | {type: "login"} | {type: "events", events: any[]}} News
 */

/** The server says something every 15 s; three times that without a word is a dead connection. */
const SILENCE_MS = 45_000;
/** A stream that has not begun by then is held up by a proxy that waits for its end. */
const HELLO_MS = 8_000;
const RETRY_FIRST_MS = 250;
const RETRY_LAST_MS = 5_000;

export class Feed {
  #tell;
  /** @type {Position} */
  #at;
  #stop = new AbortController();
  /** Whether to ask for streams that end with their first news: those come through any proxy. */
  #once = false;
  #wake = () => {};

  /**
   * @param {Position} at
   * @param {(news: News) => void} tell
   */
  constructor(at, tell) {
    this.#at = at;
    this.#tell = tell;
    void this.#run();
  }

  /** Try now instead of after the pause. */
  wake() {
    this.#wake();
  }

  end() {
    this.#stop.abort();
    this.#wake();
  }

  async #run() {
    let retry = RETRY_FIRST_MS;
    while (!this.#stop.signal.aborted) {
      let isGoingOn = false;
      try {
        await this.#read(() => {
          retry = RETRY_FIRST_MS;
          isGoingOn = this.#once;
        });
      } catch {
        isGoingOn = false;
        // Whatever broke, the way on is the same; the header says that we are not connected.
      }
      if (this.#stop.signal.aborted) return;
      if (isGoingOn) continue;
      this.#tell({ type: "lost" });
      await this.#pause(retry * (0.5 + Math.random() / 2));
      retry = Math.min(retry * 2, RETRY_LAST_MS);
    }
  }

  /**
   * @param {number} milliseconds
   * @returns {Promise<void>}
   */
  #pause(milliseconds) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, milliseconds);
    });
  }

  /** @param {() => void} opened */
  async #read(opened) {
    const { seq, epoch } = this.#at;
    const abort = new AbortController();
    const end = () => abort.abort();
    this.#stop.signal.addEventListener("abort", end);
    let silence = setTimeout(end, SILENCE_MS);
    const hold = () => {
      this.#once = true;
      end();
    };
    const hello = this.#once ? undefined : setTimeout(hold, HELLO_MS);
    try {
      const query = new URLSearchParams({ after: String(seq), epoch, ...(this.#once ? { once: "true" } : {}) });
      const headers = { accept: "text/event-stream" };
      const response = await fetch(`/dashboard/stream?${query}`, { headers, signal: abort.signal, credentials: "same-origin", cache: "no-store" });
      if (response.status === 401) this.#tell({ type: "login" });
      if (!response.ok || !response.body) return;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new EventParser();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(silence);
        silence = setTimeout(end, SILENCE_MS);
        /** @type {any[]} */
        const events = [];
        for (const { type, data } of parser.feed(value)) {
          const told = JSON.parse(data);
          if (type === "reset" || (type === "hello" && (told.epoch !== epoch || told.seq < seq))) return this.#over();
          if (type === "hello") {
            clearTimeout(hello);
            opened();
            this.#tell({ type: "live", at: told.at ?? null });
          } else if (type === "event") {
            this.#at = { seq: told.seq, epoch };
            events.push(told);
          }
        }
        if (events.length > 0) this.#tell({ type: "events", events });
      }
    } finally {
      clearTimeout(silence);
      clearTimeout(hello);
      this.#stop.signal.removeEventListener("abort", end);
      abort.abort();
    }
  }

  #over() {
    this.#stop.abort();
    this.#tell({ type: "reset" });
  }
}
