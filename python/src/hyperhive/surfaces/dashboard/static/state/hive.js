/** The hive itself: its name, its version, and whether it is going down. */

/** @typedef {import("../types.js").State["hive"]} HiveState */

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {HiveState}
 */
export function fromSnapshot(snapshot) {
  return { ...snapshot.hive, stopping: false };
}

/**
 * @param {HiveState} hive
 * @param {import("../types.js").HiveEvent} event
 * @returns {HiveState}
 */
export function apply(hive, event) {
  switch (event.kind) {
    case "hive_started":
      return { ...hive, version: event.data.version, started_at: event.at, stopping: false };
    case "hive_stopping":
      return { ...hive, stopping: true };
    default:
      return hive;
  }
}
