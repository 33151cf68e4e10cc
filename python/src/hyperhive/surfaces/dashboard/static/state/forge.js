/** The forge: where it is, how it is, and the pull requests that are open or were closed last. */

/** @typedef {import("../types.js").ForgeState} ForgeState */

/** Closed pull requests that are kept. */
const CLOSED_KEPT = 50;

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {ForgeState | null} null where there is none
 */
export function fromSnapshot({ forge }) {
  if (!forge) return null;
  const { pull_requests: found = [], ...facts } = forge;
  const pulls = /** @type {import("../types.js").PullRequest[]} */ (found);
  return { facts, pulls: new Map(pulls.map((pull) => [pullKey(pull), pull])) };
}

/**
 * @param {ForgeState | null} forge
 * @param {import("../types.js").HiveEvent} event
 * @returns {ForgeState | null}
 */
export function apply(forge, event) {
  switch (event.kind) {
    case "forge_changed": {
      const { pull_requests: _told, ...facts } = event.data.forge ?? event.data;
      return { facts: { ...forge?.facts, ...facts }, pulls: forge?.pulls ?? new Map() };
    }
    case "pull_request_changed": {
      const pull = event.data.pull_request;
      const pulls = new Map(forge?.pulls).set(pullKey(pull), pull);
      const closed = [...pulls].filter(([, { state }]) => state !== "open");
      for (const [key] of closed.slice(0, Math.max(0, closed.length - CLOSED_KEPT))) pulls.delete(key);
      return { facts: forge?.facts ?? {}, pulls };
    }
    default:
      return forge;
  }
}

/**
 * @param {import("../types.js").PullRequest} pull
 * @returns {string}
 */
export function pullKey(pull) {
  return String(pull.id ?? `${pull.repository ?? ""}#${pull.number ?? ""}`);
}
