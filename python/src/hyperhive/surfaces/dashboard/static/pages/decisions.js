/**
 * The page of what waits for a word of the operator: approvals and questions, and what was decided lately.
 */

import { isForOperator } from "../state/questions.js";
import { approvalItem, decidedApproval } from "../view/approval.js";
import { h, KeyedList } from "../view/elements.js";
import { closedQuestion, questionItem } from "../view/question.js";

/** @typedef {import("../types.js").Approval} Approval */
/** @typedef {import("../types.js").Question} Question */
/** @typedef {{approval: Approval} | {question: Question}} Decision */

/** How many decided ones are listed. */
const DECIDED_SHOWN = 50;

/**
 * @param {import("../state/store.js").Store} store
 * @returns {import("../router.js").Page}
 */
export function openDecisionsPage(store) {
  const waiting = section("waiting", "To decide", "Nothing waits for you. What needs your word appears here by itself.");
  const between = section("between", "Between agents", null);
  const under = section("under-way", "Under way", null);
  const decided = section("decided", "Decided lately", "Nothing has been decided yet.");
  /** @type {KeyedList<Decision>} */
  const waitingList = new KeyedList(waiting.rows, (decision) => openItem(decision, store, "waiting"));
  /** @type {KeyedList<Decision>} */
  const betweenList = new KeyedList(between.rows, (decision) => openItem(decision, store, "between"));
  /** @type {KeyedList<Decision>} */
  const underList = new KeyedList(under.rows, (decision) => openItem(decision, store, "under"));
  /** @type {KeyedList<Decision>} */
  const decidedList = new KeyedList(decided.rows, (decision) => closedItem(decision, store));
  const element = h("div", { class: "decisions page", id: "decisions" }, waiting.element, under.element, between.element, decided.element);
  /** @type {unknown} */
  let shownApprovals = null;
  /** @type {unknown} */
  let shownQuestions = null;
  /** @type {Map<string, Decision>} */
  const known = new Map();

  /**
   * @param {string} key
   * @param {Decision} decision
   * @returns {[string, Decision]} the same object for the same value, so that lists see what changed
   */
  function entry(key, decision) {
    const before = known.get(key);
    const same = before && valueOf(before) === valueOf(decision);
    const kept = same ? before : decision;
    known.set(key, kept);
    return [key, kept];
  }

  store.show(({ approvals, questions }) => {
    if (approvals === shownApprovals && questions === shownQuestions) return;
    shownApprovals = approvals;
    shownQuestions = questions;
    const all = [
      ...[...approvals.values()].map((approval) => entry(`a${approval.id}`, { approval })),
      ...[...questions.values()].map((question) => entry(`q${question.id}`, { question })),
    ];
    for (const key of known.keys()) if (!all.some(([each]) => each === key)) known.delete(key);
    const oldest = [...all].sort(([, a], [, b]) => valueOf(a).at - valueOf(b).at);
    const where = (/** @type {string} */ place) => new Map(oldest.filter(([, each]) => placeOf(each) === place));
    waiting.fill(waitingList, where("waiting"));
    under.fill(underList, where("under"));
    between.fill(betweenList, where("between"));
    const closed = all.filter(([, each]) => placeOf(each) === "decided");
    closed.sort(([, a], [, b]) => (valueOf(b).closed_at ?? 0) - (valueOf(a).closed_at ?? 0));
    decided.fill(decidedList, new Map(closed.slice(0, DECIDED_SHOWN)));
  });
  return { element, enter: () => "Decisions" };
}

/**
 * @param {string} id
 * @param {string} title
 * @param {string | null} empty what is said when there is none; null hides the section instead
 */
function section(id, title, empty) {
  const count = h("span", { class: "total" });
  const rows = h("ol", { class: "decision-rows" });
  const nothing = empty === null ? null : h("p", { class: "quiet" }, empty);
  const heading = h("h2", { id: `${id}-title`, tabindex: "-1" }, `${title} `, count);
  const element = h("section", { class: "panel", id, "aria-labelledby": heading.id, tabindex: "-1" }, heading, nothing, rows);
  return {
    element,
    rows,
    /**
     * @template T
     * @param {KeyedList<T>} list
     * @param {Map<string, T>} values
     */
    fill(list, values) {
      count.textContent = values.size > 0 ? String(values.size) : "";
      if (nothing) nothing.hidden = values.size > 0;
      else element.hidden = values.size === 0;
      list.show(values);
    },
  };
}

/**
 * @param {Decision} decision
 * @returns {Approval | Question}
 */
function valueOf(decision) {
  return "approval" in decision ? decision.approval : decision.question;
}

/**
 * @param {Decision} decision
 * @returns {"waiting" | "under" | "between" | "decided"}
 */
function placeOf(decision) {
  if ("question" in decision) {
    if (decision.question.state !== "open") return "decided";
    return isForOperator(decision.question) ? "waiting" : "between";
  }
  if (decision.approval.state === "pending") return "waiting";
  return decision.approval.closed_at === null ? "under" : "decided";
}

/**
 * @param {Decision} decision
 * @param {import("../state/store.js").Store} store
 * @param {string} place
 * @returns {import("../view/elements.js").Item<Decision>}
 */
function openItem(decision, store, place) {
  if ("approval" in decision) {
    const item = approvalItem(decision.approval, store);
    return { element: item.element, update: (value) => "approval" in value && item.update(value.approval) };
  }
  const item = questionItem(decision.question, store, place);
  return { element: item.element, update: (value) => "question" in value && item.update(value.question) };
}

/**
 * @param {Decision} decision
 * @param {import("../state/store.js").Store} store
 * @returns {import("../view/elements.js").Item<Decision>}
 */
function closedItem(decision, store) {
  if ("approval" in decision) {
    const item = decidedApproval(decision.approval);
    return { element: item.element, update: (value) => "approval" in value && item.update(value.approval) };
  }
  const item = closedQuestion(decision.question, store);
  return { element: item.element, update: (value) => "question" in value && item.update(value.question) };
}
