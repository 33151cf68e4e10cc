/**
 * Reminders: how many of each agent wait or have failed.
 *
 * A flood of them costs a count each; the page lists them when it is looked at. Every event says which
 * state the reminder left, so that the counts are exact.
 */

/** @typedef {import("../types.js").State["reminders"]} Reminders */

const KINDS = new Set(["reminder_added", "reminder_changed", "reminder_delivered", "reminder_failed", "reminder_cancelled"]);

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {Reminders}
 */
export function fromSnapshot({ reminders }) {
  return new Map(Object.entries(reminders.counts));
}

/**
 * @param {Reminders} reminders
 * @param {import("../types.js").HiveEvent} event
 * @returns {Reminders}
 */
export function apply(reminders, event) {
  return KINDS.has(event.kind) ? counted(reminders, event.data.reminder, event.data.was ?? null) : reminders;
}

/**
 * @param {Reminders} counts
 * @param {import("../types.js").Reminder} row
 * @param {import("../types.js").ReminderState | null} previous
 * @returns {Reminders}
 */
function counted(counts, { agent, state }, previous) {
  if (state === previous) return counts;
  const { pending, failed } = counts.get(agent) ?? { pending: 0, failed: 0 };
  const step = (/** @type {string} */ key) => Number(state === key) - Number(previous === key);
  const now = { pending: Math.max(0, pending + step("pending")), failed: Math.max(0, failed + step("failed")) };
  const next = new Map(counts);
  if (now.pending + now.failed === 0) next.delete(agent);
  else next.set(agent, now);
  return next;
}

/**
 * @param {Reminders} counts
 * @returns {{pending: number, failed: number}} over all agents
 */
export function total(counts) {
  const sum = { pending: 0, failed: 0 };
  for (const { pending, failed } of counts.values()) {
    sum.pending += pending;
    sum.failed += failed;
  }
  return sum;
}
