/** The page of the whole hive: agents and those that are gone, messages, alerts, writing. */

import { showAgents } from "../view/agents.js";
import { showAlerts } from "../view/alerts.js";
import { Compose } from "../view/compose.js";
import { showDead } from "../view/dead.js";
import { Flow } from "../view/flow.js";
import { showPlan } from "../view/plan.js";
import { showTombstones } from "../view/tombstones.js";
import { showWhole } from "../view/whole.js";

/**
 * @param {import("../state/store.js").Store} store
 * @returns {{openUnread: () => void, write: (name: string) => void, reply: (message: import("../types.js").Message) => void}}
 */
export function openHivePage(store) {
  const compose = new Compose(store);
  /** @param {import("../types.js").Message} message */
  const reply = (message) => compose.replyTo(message);
  showAlerts(store);
  showWhole(store);
  showPlan(store);
  showAgents(store);
  showTombstones(store);
  showDead(store, reply);
  const flow = new Flow(store, reply);
  return {
    openUnread: () => void flow.openUnread(),
    write: (name) => goTo(() => compose.writeTo(name)),
    reply: (message) => goTo(() => reply(message)),
  };
}

/**
 * Show the page of messages, then do something on it.
 *
 * @param {() => void} then
 */
function goTo(then) {
  if (location.hash === "#/messages") {
    then();
    return;
  }
  addEventListener("hashchange", () => then(), { once: true });
  location.hash = "#/messages";
}
