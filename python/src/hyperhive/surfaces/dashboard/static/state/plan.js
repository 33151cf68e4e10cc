/** What the hive is doing to bring what runs to what is declared: nothing, most of the time. */

/** @typedef {import("../types.js").State["plan"]} Plan */

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {Plan}
 */
export function fromSnapshot({ plan }) {
  return plan;
}

/**
 * @param {Plan} plan
 * @param {import("../types.js").HiveEvent} event
 * @returns {Plan}
 */
export function apply(plan, event) {
  return event.kind === "plan_changed" ? event.data.plan : plan;
}
