/** What is over: of each noun only the newest is kept, as a snapshot keeps it. */

/** How many closed ones a snapshot holds. */
export const CLOSED_KEPT = 50;

/**
 * Take the newer shape of one in, and let go of those that a fresh snapshot would not hold.
 *
 * @template {{id: number, closed_at: number | null}} T
 * @param {ReadonlyMap<number, T>} rows
 * @param {T} row
 * @returns {ReadonlyMap<number, T>} by id, ascending
 */
export function withRow(rows, row) {
  const next = new Map(rows).set(row.id, row);
  const isNew = !rows.has(row.id);
  const closed = [...next.values()].filter(({ closed_at }) => closed_at !== null);
  closed.sort((a, b) => (b.closed_at ?? 0) - (a.closed_at ?? 0) || b.id - a.id);
  for (const { id } of closed.slice(CLOSED_KEPT)) next.delete(id);
  return isNew ? byId(next) : next;
}

/**
 * @template T
 * @param {ReadonlyMap<number, T>} rows
 * @returns {ReadonlyMap<number, T>}
 */
export function byId(rows) {
  return new Map([...rows].sort(([a], [b]) => a - b));
}
