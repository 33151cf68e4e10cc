/** Tombstones by name: agents that are gone and whose state is kept. */

/** @typedef {import("../types.js").State["tombstones"]} Tombstones */

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {Tombstones}
 */
export function fromSnapshot(snapshot) {
  return new Map(snapshot.tombstones.map((tombstone) => [tombstone.name, tombstone]));
}

/**
 * @param {Tombstones} tombstones
 * @param {import("../types.js").HiveEvent} event
 * @returns {Tombstones}
 */
export function apply(tombstones, event) {
  switch (event.kind) {
    case "tombstone_added": {
      const { tombstone } = event.data;
      return new Map(tombstones).set(tombstone.name, tombstone);
    }
    case "tombstone_revived":
    case "tombstone_purged": {
      const rest = new Map(tombstones);
      return rest.delete(event.agent ?? "") ? rest : tombstones;
    }
    default:
      return tombstones;
  }
}
