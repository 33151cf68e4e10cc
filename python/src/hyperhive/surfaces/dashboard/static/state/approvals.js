/** Approvals by id: all that are not over, and those that were closed last. */

import { byId, withRow } from "./closed.js";

/** @typedef {import("../types.js").State["approvals"]} Approvals */

const KINDS = new Set(["approval_added", "approval_changed", "approval_resolved"]);

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {Approvals}
 */
export function fromSnapshot({ approvals }) {
  return byId(new Map(approvals.map((approval) => [approval.id, approval])));
}

/**
 * @param {Approvals} approvals
 * @param {import("../types.js").HiveEvent} event
 * @returns {Approvals}
 */
export function apply(approvals, event) {
  return KINDS.has(event.kind) ? withRow(approvals, event.data.approval) : approvals;
}
