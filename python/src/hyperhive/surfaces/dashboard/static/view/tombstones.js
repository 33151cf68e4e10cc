/** Agents that are gone and whose state is kept, each with the way to bring it back and to delete that. */

import { actionButton, ask } from "./actions.js";
import { h, KeyedList, part, say } from "./elements.js";
import { showSince } from "./times.js";
import { nameTag, sized } from "./words.js";

/** @typedef {import("../types.js").Tombstone} Tombstone */

/** @param {import("../state/store.js").Store} store */
export function showTombstones(store) {
  const section = part("tombstones", HTMLElement);
  const count = part("tombstone-count", HTMLElement);
  /** @type {KeyedList<Tombstone>} */
  const list = new KeyedList(part("tombstone-rows", HTMLUListElement), (tombstone) => tombstoneItem(tombstone, store));
  /** @type {ReadonlyMap<string, Tombstone> | null} */
  let shown = null;
  store.show(({ tombstones }) => {
    if (tombstones === shown) return;
    shown = tombstones;
    section.hidden = tombstones.size === 0;
    count.textContent = String(tombstones.size);
    list.show(new Map([...tombstones].sort(([a], [b]) => (a < b ? -1 : 1))));
  });
}

/**
 * @param {Tombstone} tombstone
 * @param {import("../state/store.js").Store} store
 * @returns {import("./elements.js").Item<Tombstone>}
 */
function tombstoneItem({ name }, store) {
  let size = "";
  const since = h("time", { class: "since" });
  const left = h("span", { class: "quiet" });
  const description = h("p", { class: "description" });
  const purge = actionButton({
    label: "Purge",
    confirm: "Purge it",
    warning: () => `Everything that ${name} left${size} is deleted for good.`,
    run: () => ask(store, `/api/tombstones/${encodeURIComponent(name)}/purge`),
  });
  const revive = actionButton({ label: "Revive", run: () => ask(store, `/api/tombstones/${encodeURIComponent(name)}/revive`) });
  const element = h(
    "li",
    { class: "tombstone", "data-tombstone": name },
    nameTag(name),
    h("span", { class: "quiet" }, "gone ", since),
    left,
    revive.element,
    purge.element,
    description,
  );
  return {
    element,
    update(tombstone) {
      revive.element.hidden = tombstone.declared;
      size = tombstone.bytes === null ? "" : ` (${sized(tombstone.bytes)})`;
      showSince(since, tombstone.removed_at);
      say(left, tombstone.bytes === null ? null : sized(tombstone.bytes));
      say(description, tombstone.description);
    },
  };
}
