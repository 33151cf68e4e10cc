/** Questions by id: all that are open, and those that were closed last. */

import { byId, withRow } from "./closed.js";

/** @typedef {import("../types.js").State["questions"]} Questions */

const KINDS = new Set(["question_added", "question_answered", "question_cancelled", "question_expired"]);

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {Questions}
 */
export function fromSnapshot({ questions }) {
  return byId(new Map(questions.map((question) => [question.id, question])));
}

/**
 * @param {Questions} questions
 * @param {import("../types.js").HiveEvent} event
 * @returns {Questions}
 */
export function apply(questions, event) {
  return KINDS.has(event.kind) ? withRow(questions, event.data.question) : questions;
}

/**
 * @param {import("../types.js").Question} question
 * @returns {boolean} whether the operator is who should answer
 */
export function isForOperator({ state, target }) {
  return state === "open" && target === "operator";
}

/**
 * @param {Pick<import("../types.js").Question, "state">} question
 * @returns {boolean} whether an answer still counts, if late
 */
export function canBeAnswered({ state }) {
  return state === "open" || state === "expired";
}
