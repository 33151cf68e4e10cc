/**
 * Reminders: how many of each agent wait or have failed, and the rows that a page shows first.
 *
 * Rows are bounded: a flood of them costs a count each, and the page asks for more when it is looked
 * at. Every event says which state the reminder left, so that the counts are exact without its row.
 */

/** @typedef {import("../types.js").RemindersState} RemindersState */
/** @typedef {import("../types.js").Reminder} Reminder */
/** @typedef {import("../types.js").ReminderState} ReminderState */

/** How many pending ones, and how many failed ones, are held. */
export const ROWS_KEPT = 200;

const KINDS = new Set(["reminder_added", "reminder_changed", "reminder_delivered", "reminder_failed", "reminder_cancelled"]);

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {RemindersState}
 */
export function fromSnapshot({ reminders }) {
  return {
    counts: new Map(Object.entries(reminders.counts)),
    rows: new Map(reminders.rows.map((row) => [row.id, row])),
  };
}

/**
 * @param {RemindersState} reminders
 * @param {import("../types.js").HiveEvent} event
 * @returns {RemindersState}
 */
export function apply(reminders, event) {
  if (!KINDS.has(event.kind)) return reminders;
  /** @type {Reminder} */
  const row = event.data.reminder;
  return { counts: counted(reminders.counts, row, event.data.was ?? null), rows: held(reminders.rows, row) };
}

/**
 * @param {RemindersState["counts"]} counts
 * @param {Reminder} row
 * @param {ReminderState | null} previous
 * @returns {RemindersState["counts"]}
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
 * @param {RemindersState["rows"]} rows
 * @param {Reminder} row
 * @returns {RemindersState["rows"]}
 */
function held(rows, row) {
  const next = new Map(rows);
  if (row.state !== "pending" && row.state !== "failed") {
    return next.delete(row.id) ? next : rows;
  }
  next.set(row.id, row);
  // Cut only now and then: sorting them for each of ten thousand would be felt.
  return next.size > 3 * ROWS_KEPT ? cut(next) : next;
}

/**
 * @param {RemindersState["rows"]} rows
 * @returns {RemindersState["rows"]} the pending ones due next and the newest failed ones
 */
export function cut(rows) {
  const all = [...rows.values()];
  const pending = all.filter(({ state }) => state === "pending").sort((a, b) => a.due_at - b.due_at || a.id - b.id);
  const failed = all.filter(({ state }) => state === "failed").sort((a, b) => (b.closed_at ?? 0) - (a.closed_at ?? 0) || b.id - a.id);
  const kept = [...pending.slice(0, ROWS_KEPT), ...failed.slice(0, ROWS_KEPT)];
  return new Map(kept.map((row) => [row.id, row]));
}

/**
 * @param {RemindersState} reminders
 * @returns {{pending: number, failed: number}} over all agents
 */
export function total({ counts }) {
  const sum = { pending: 0, failed: 0 };
  for (const { pending, failed } of counts.values()) {
    sum.pending += pending;
    sum.failed += failed;
  }
  return sum;
}
