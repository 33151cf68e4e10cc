/**
 * Shares one stream among all tabs of a hive: a browser allows six connections to one host.
 *
 * Every tab says where it is and is told what comes after. What has come lately is kept, so that a tab
 * that opens later, or was asleep, is brought to where the others are; one further behind than that
 * takes a new snapshot.
 */

import { Feed } from "./feed.js";

/** Events that are kept for tabs that are behind. */
const KEPT = 5_000;

/** @type {Map<MessagePort, number>} the tabs, and up to where each was told */
const tabs = new Map();
/** @type {Feed | null} */
let feed = null;
let epoch = "";
/** Everything after this position is in `events`. */
let from = 0;
/** @type {any[]} */
let events = [];
let live = false;

/**
 * @param {MessagePort} tab
 * @param {import("./feed.js").Position} at
 */
function join(tab, at) {
  if (feed && at.epoch !== epoch) reset();
  if (!feed) {
    epoch = at.epoch;
    from = at.seq;
    events = [];
    live = false;
    feed = new Feed(at, heard);
  }
  if (at.seq < from) {
    tab.postMessage({ type: "reset" });
    return;
  }
  tabs.set(tab, at.seq);
  bring(tab);
  if (live) tab.postMessage({ type: "live", at: null });
}

/** @param {MessagePort} tab */
function leave(tab) {
  tabs.delete(tab);
  if (tabs.size > 0) return;
  feed?.end();
  feed = null;
}

/** Let every tab begin anew, with a snapshot of its own. */
function reset() {
  const all = [...tabs.keys()];
  tabs.clear();
  feed?.end();
  feed = null;
  for (const tab of all) tab.postMessage({ type: "reset" });
}

/** @param {import("./feed.js").News} news */
function heard(news) {
  if (news.type === "reset") return reset();
  if (news.type !== "events") {
    live = news.type === "live";
    for (const tab of tabs.keys()) tab.postMessage(news);
    return;
  }
  events.push(...news.events);
  if (events.length > 2 * KEPT) {
    events = events.slice(-KEPT);
    from = events[0].seq - 1;
  }
  for (const tab of tabs.keys()) bring(tab);
}

/** @param {MessagePort} tab */
function bring(tab) {
  const told = tabs.get(tab) ?? 0;
  let first = events.length;
  while (first > 0 && events[first - 1].seq > told) first -= 1;
  if (first === events.length) return;
  tab.postMessage({ type: "events", events: events.slice(first) });
  tabs.set(tab, events.at(-1).seq);
}

addEventListener("connect", (event) => {
  const [tab] = /** @type {MessageEvent} */ (event).ports;
  if (!tab) return;
  tab.addEventListener("message", ({ data }) => {
    if (data.type === "join") join(tab, data.at);
    if (data.type === "leave") leave(tab);
    if (data.type === "wake") feed?.wake();
  });
  tab.start();
});
