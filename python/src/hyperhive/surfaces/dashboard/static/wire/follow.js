/**
 * Keeps the state true: one snapshot, then the stream of events, for as long as the page is open.
 *
 * After a lost connection it resumes behind the last event that was applied, so nothing is missed
 * and nothing is applied twice. When the server cannot resume from there, or its history is another
 * one, a new snapshot is taken. The stream is read with `fetch` rather than `EventSource`, because
 * only so can the page see the keep-alives (and thus their absence) and the status of a refusal.
 */

import { apply, fromSnapshot } from "../state/state.js";
import { answered, ask, get } from "./api.js";
import { EventParser } from "./sse.js";

/** @typedef {import("../types.js").State} State */
/** @typedef {import("../types.js").ConnectionState} ConnectionState */

/** The server says something every 15 s; three times that without a word is a dead connection. */
const SILENCE_MS = 45_000;
/** Without a connection for this long, what the page shows is called stale. */
const STALE_MS = 20_000;
const RETRY_FIRST_MS = 250;
const RETRY_LAST_MS = 5_000;

/** @returns {Promise<import("../types.js").Snapshot>} */
export function snapshot() {
  return get("/api/state");
}

/**
 * Follow the hive for ever.
 *
 * @param {import("../state/store.js").Store} store
 * @param {(connection: ConnectionState) => void} report
 * @param {(at: number) => void} synchronise called with the server's time at each snapshot
 */
export async function follow(store, report, synchronise) {
  const connection = new Connection(report);
  let retry = RETRY_FIRST_MS;
  let renew = false;
  for (;;) {
    try {
      if (renew) {
        const fresh = await snapshot();
        synchronise(fresh.at);
        store.update(() => fromSnapshot(fresh));
        renew = false;
      }
      renew = await read(store, () => {
        retry = RETRY_FIRST_MS;
        connection.live();
      });
    } catch {
      // Whatever broke, the way on is the same; the header says that we are not connected.
    }
    connection.lost();
    await pause(retry * (0.5 + Math.random() / 2));
    retry = Math.min(retry * 2, RETRY_LAST_MS);
  }
}

/**
 * Apply the stream's events until it ends.
 *
 * @param {import("../state/store.js").Store} store
 * @param {() => void} opened
 * @returns {Promise<boolean>} whether a new snapshot is needed
 */
async function read(store, opened) {
  const { seq, epoch } = store.state;
  const abort = new AbortController();
  let silence = setTimeout(() => abort.abort(), SILENCE_MS);
  try {
    const query = new URLSearchParams({ after: String(seq), epoch });
    const headers = { accept: "text/event-stream" };
    const response = await ask(`/dashboard/stream?${query}`, { headers }, abort.signal);
    if (!response.ok || !response.body) {
      await answered(response);
      return false;
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new EventParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return false;
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENCE_MS);
      for (const { type, data } of parser.feed(value)) {
        if (type === "reset") return true;
        if (type === "hello") {
          const hello = JSON.parse(data);
          if (hello.epoch !== epoch || hello.seq < seq) return true;
          opened();
        } else if (type === "event") {
          const event = JSON.parse(data);
          store.update((state) => apply(state, event));
          store.announce(event);
        }
      }
    }
  } finally {
    clearTimeout(silence);
    abort.abort();
  }
}

/** Turns "open" and "lost" into what the header says. */
class Connection {
  #report;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #stale;

  /** @param {(connection: ConnectionState) => void} report */
  constructor(report) {
    this.#report = report;
  }

  live() {
    clearTimeout(this.#stale);
    this.#stale = undefined;
    this.#report("live");
  }

  lost() {
    if (this.#stale !== undefined) return;
    this.#report("reconnecting");
    this.#stale = setTimeout(() => this.#report("stale"), STALE_MS);
  }
}

/**
 * Wait, but no longer than until the network is back or someone looks at the page again.
 *
 * @param {number} milliseconds
 * @returns {Promise<void>}
 */
function pause(milliseconds) {
  return new Promise((resolve) => {
    const done = new AbortController();
    const wake = () => {
      done.abort();
      resolve();
    };
    setTimeout(wake, milliseconds);
    addEventListener("online", wake, { signal: done.signal });
    document.addEventListener("visibilitychange", wake, { signal: done.signal });
  });
}
