/** Dead messages, each with what it died of and the two ways on. There while there are any. */

import { KeyedList, part } from "./elements.js";
import { MessageItem } from "./message.js";

/** @typedef {import("../types.js").Message} Message */

/**
 * @param {import("../state/store.js").Store} store
 * @param {(message: Message) => void} reply
 */
export function showDead(store, reply) {
  const section = part("dead", HTMLElement);
  const count = part("dead-count", HTMLElement);
  /** @type {KeyedList<Message>} */
  const list = new KeyedList(
    part("dead-rows", HTMLOListElement),
    (message) => new MessageItem(message, { store, reply, place: "dead", actionsAlways: true }),
  );
  /** @type {ReadonlyMap<number, Message> | null} */
  let shown = null;
  store.show(({ messages }) => {
    if (messages.dead === shown) return;
    shown = messages.dead;
    section.hidden = shown.size === 0;
    count.textContent = String(shown.size);
    list.show(new Map([...shown].sort(([a], [b]) => a - b)));
  });
}
