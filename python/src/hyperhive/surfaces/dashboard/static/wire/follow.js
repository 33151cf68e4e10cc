/**
 * Keeps the state true: one snapshot, then the stream of events, for as long as the page is open.
 *
 * After a lost connection it resumes behind the last event that was applied, so nothing is missed
 * and nothing is applied twice. When the server cannot resume from there, or its history is another
 * one, a new snapshot is taken. The stream is read with `fetch` rather than `EventSource`, because
 * only so can the page see the keep-alives (and thus their absence) and the status of a refusal.
 * Tabs share one stream where the browser has shared workers; elsewhere each has its own.
 */

import { apply, fromSnapshot } from "../state/state.js";
import { get, loginEnded, loginHolds } from "./api.js";
import { Feed } from "./feed.js";

/** @typedef {import("../types.js").State} State */
/** @typedef {import("../types.js").ConnectionState} ConnectionState */
/** @typedef {import("./feed.js").News} News */
/** @typedef {import("./feed.js").Position} Position */

/** Without a connection for this long, what the page shows is called stale. */
const STALE_MS = 20_000;
const RETRY_MS = 1_000;

/** @returns {Promise<import("../types.js").Snapshot>} */
export function snapshot() {
  return get("/api/state");
}

/**
 * Follow the hive for ever.
 *
 * @param {import("../state/store.js").Store} store
 * @param {(connection: ConnectionState) => void} report
 * @param {(at: number) => void} synchronise called with the server's time at each snapshot and connection
 */
export function follow(store, report, synchronise) {
  const connection = new Connection(report);
  const source = sourceOf(store.state.hive.version, heard);
  const at = () => ({ seq: store.state.seq, epoch: store.state.epoch });
  source.join(at());
  addEventListener("online", source.wake);
  document.addEventListener("visibilitychange", source.wake);
  addEventListener("pagehide", source.leave);
  addEventListener("pageshow", (event) => event.persisted && source.join(at()));

  /** @param {News} news */
  function heard(news) {
    switch (news.type) {
      case "live":
        if (news.at !== null) synchronise(news.at);
        loginHolds();
        return connection.live();
      case "lost":
        return connection.lost();
      case "login":
        return loginEnded();
      case "reset":
        connection.lost();
        return void renew();
      case "events":
        store.update((state) => news.events.reduce(apply, state));
        for (const event of news.events) store.announce(event);
    }
  }

  async function renew() {
    for (;;) {
      try {
        const fresh = await snapshot();
        synchronise(fresh.at);
        store.renew(fromSnapshot(fresh));
        return source.join(at());
      } catch {
        // The header says that we are not connected; a snapshot is asked for until there is one.
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }
}

/**
 * @param {string} version tabs of another version have a worker of their own
 * @param {(news: News) => void} tell
 * @returns {{join: (at: Position) => void, leave: () => void, wake: () => void}}
 */
function sourceOf(version, tell) {
  if (!("SharedWorker" in globalThis)) {
    /** @type {Feed | null} */
    let feed = null;
    const leave = () => feed?.end();
    return {
      join(at) {
        leave();
        feed = new Feed(at, tell);
      },
      leave,
      wake: () => feed?.wake(),
    };
  }
  const { port } = new SharedWorker("/static/wire/worker.js", { type: "module", name: `hyperhive ${version}` });
  port.addEventListener("message", ({ data }) => tell(data));
  port.start();
  return {
    join: (at) => port.postMessage({ type: "join", at }),
    leave: () => port.postMessage({ type: "leave" }),
    wake: () => port.postMessage({ type: "wake" }),
  };
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
