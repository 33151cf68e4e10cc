/** Pauses, of an agent or of the hive: one of each cause at most, so that what set one also ends it. */

/** @typedef {import("../types.js").Pause} Pause */

/** What the operator's resume ends; the others end by themselves. */
const RESUMABLE = new Set(["operator", "spend", "login", "rate_limit"]);

/**
 * @param {readonly Pause[]} pauses
 * @param {Pause} pause
 * @returns {readonly Pause[]} with `pause` in place of the one of its cause
 */
export function withPause(pauses, pause) {
  return [...without(pauses, pause.cause), pause];
}

/**
 * @param {readonly Pause[]} pauses
 * @param {string} cause
 * @returns {readonly Pause[]}
 */
export function without(pauses, cause) {
  return pauses.filter((pause) => pause.cause !== cause);
}

/**
 * @param {readonly Pause[]} pauses
 * @param {number} now
 * @returns {boolean} whether a resume would end one
 */
export function canResume(pauses, now) {
  return pauses.some(({ cause, until }) => RESUMABLE.has(cause) && (until === null || until > now));
}
