/** Where everything meets: the first snapshot, the views of it, and the stream that keeps them true. */

import { openAgentPage } from "./pages/agent.js";
import { openDecisionsPage } from "./pages/decisions.js";
import { openForgePage } from "./pages/forge.js";
import { openHivePage } from "./pages/hive.js";
import { openRemindersPage } from "./pages/reminders.js";
import { openSystemPage } from "./pages/system.js";
import { keepSkips, Router } from "./router.js";
import { fromSnapshot } from "./state/state.js";
import { Store } from "./state/store.js";
import { part, say } from "./view/elements.js";
import { Header } from "./view/header.js";
import { notices } from "./view/notices.js";
import { startTicking, synchronise } from "./view/times.js";
import { keepUnsaved } from "./view/unsaved.js";
import { follow, snapshot } from "./wire/follow.js";

const RETRY_MS = 2_000;

/** @returns {Promise<import("./types.js").Snapshot>} the first one that the hive gives */
async function firstSnapshot() {
  const notice = part("start-notice", HTMLElement);
  for (;;) {
    try {
      const first = await snapshot();
      say(notice, null);
      return first;
    } catch (error) {
      say(notice, error instanceof Error ? error.message : String(error));
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

const first = await firstSnapshot();
synchronise(first.at);
const store = new Store(fromSnapshot(first));
const hive = openHivePage(store);
const header = new Header(store, () => hive.openUnread(document.body.dataset["page"] === "messages" ? "#/messages" : "#/hive"));
keepSkips(part("skips", HTMLElement));
new Router(
  {
    hive: () => ({ enter: () => "" }),
    messages: () => ({ enter: () => "Messages" }),
    decisions: () => openDecisionsPage(store),
    reminders: () => openRemindersPage(store),
    forge: () => openForgePage(store),
    agent: () => openAgentPage(store, hive.write, hive.reply),
    system: () => openSystemPage(store),
  },
  part("place", HTMLElement),
  (title) => header.moved(title),
);
document.body.classList.remove("is-loading");
startTicking();
notices(store, part("notify", HTMLElement));
keepUnsaved(part("login-notice", HTMLElement));
follow(store, (connection) => header.connected(connection), synchronise);
