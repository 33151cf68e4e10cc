/** The page of the whole hive: agents and those that are gone, messages, alerts, writing. */

import { showAgents } from "../view/agents.js";
import { showAlerts } from "../view/alerts.js";
import { Compose } from "../view/compose.js";
import { showDead } from "../view/dead.js";
import { Flow } from "../view/flow.js";
import { showPlan } from "../view/plan.js";
import { showTombstones } from "../view/tombstones.js";
import { showWhole } from "../view/whole.js";

const MESSAGES = "#/messages";

/**
 * @param {import("../state/store.js").Store} store
 * @returns {{openUnread: (place: string) => void, write: (name: string) => void, reply: (message: import("../types.js").Message) => void}}
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
    openUnread: (place) => goTo(place, () => void flow.openUnread()),
    write: (name) => goTo(MESSAGES, () => compose.writeTo(name)),
    reply: (message) => goTo(MESSAGES, () => reply(message)),
  };
}

/**
 * Show a page, then do something on it.
 *
 * @param {string} place its address
 * @param {() => void} then
 */
function goTo(place, then) {
  if (location.hash === place) {
    then();
    return;
  }
  addEventListener("hashchange", () => then(), { once: true });
  location.hash = place;
}
