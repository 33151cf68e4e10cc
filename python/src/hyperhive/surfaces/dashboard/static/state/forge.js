/** The forge: where it is, how it is, and the pull requests that are open or were closed last. */

import { byId, withRow } from "./closed.js";

/** @typedef {import("../types.js").ForgeState} ForgeState */

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {ForgeState | null} null where there is none
 */
export function fromSnapshot({ forge }) {
  if (!forge) return null;
  const { pull_requests: pulls, ...facts } = forge;
  return { facts, pulls: byId(new Map(pulls.map((pull) => [pull.id, pull]))) };
}

/**
 * @param {ForgeState | null} forge
 * @param {import("../types.js").HiveEvent} event
 * @returns {ForgeState | null}
 */
export function apply(forge, event) {
  switch (event.kind) {
    case "forge_changed": {
      return { facts: { ...forge?.facts, ...event.data.forge }, pulls: forge?.pulls ?? new Map() };
    }
    case "pull_request_changed": {
      return { facts: forge?.facts ?? {}, pulls: withRow(forge?.pulls ?? new Map(), event.data.pull_request) };
    }
    default:
      return forge;
  }
}
