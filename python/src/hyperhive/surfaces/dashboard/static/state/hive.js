/**
 * The hive itself: its name and version, whether it is paused, restarting its agents or going down,
 * and what its turns have cost today.
 */

import { without, withPause } from "./pauses.js";

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
      return { ...hive, version: event.data.version, limits: event.data.limits, started_at: event.at, stopping: false };
    case "hive_changed":
      return { ...hive, ...event.data };
    case "hive_stopping":
      return { ...hive, stopping: true };
    case "hive_paused":
      return { ...hive, pauses: withPause(hive.pauses, event.data.pause) };
    case "hive_resumed":
      return { ...hive, pauses: without(hive.pauses, event.data.cause) };
    case "rollout_changed": {
      const { rollout } = event.data;
      return { ...hive, rollout: rollout?.phase === "finished" ? null : rollout };
    }
    case "day_began":
      return { ...hive, spent_today_usd: event.data.spent_today_usd };
    case "turn_ended": {
      const cost = event.data.usage?.cost_usd;
      return cost ? { ...hive, spent_today_usd: hive.spent_today_usd + cost } : hive;
    }
    default:
      return hive;
  }
}
