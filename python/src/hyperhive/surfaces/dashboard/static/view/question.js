/**
 * One question, with its options, room for any other answer, and its deadline.
 *
 * The options are advice. One of them is an answer with a click; of a question that allows several, those
 * that are ticked and what is written are sent together. Answering a question between agents is answering
 * in the target's stead. One whose time is up can still be answered: its asker is told that it is late.
 */

import { canBeAnswered } from "../state/questions.js";
import { actionButton, ask } from "./actions.js";
import { h, say } from "./elements.js";
import { showLeft, showMoment, showSince } from "./times.js";
import { agentLink, chip, showChip } from "./words.js";

/** @typedef {import("../types.js").Question} Question */

/**
 * @param {Question} first
 * @param {import("../state/store.js").Store} store
 * @param {string} place tells the fields of one list from those of another
 * @returns {import("./elements.js").Item<Question>}
 */
export function questionItem(first, store, place) {
  const state = chip();
  const since = h("time", { class: "since" });
  const left = h("time", { class: "left" });
  const who = h("p", { class: "who" });
  const form = answering(first, store, place);
  const element = h(
    "li",
    {},
    h(
      "article",
      { class: "decision", "aria-label": `Question ${first.id}`, "data-question": first.id },
      h("header", {}, state, h("span", { class: "tag" }, "question"), who, h("span", { class: "now" }, left, since)),
      h("div", { class: "prose asked" }, first.question),
      form.element,
    ),
  );
  return {
    element,
    update(question) {
      showChip(state, question.state);
      showSince(since, question.at);
      showLeft(left, question.state === "open" ? question.expires_at : null);
      who.replaceChildren(agentLink(question.asker), ...(isInStead(question) ? [" asks ", agentLink(question.target)] : [" asks you"]), ` · question ${question.id}`);
      form.update(question);
    },
  };
}

/**
 * @param {Question} question
 * @param {import("../state/store.js").Store} store
 * @returns {import("./elements.js").Item<Question>} one that is over: a row that opens
 */
export function closedQuestion(question, store) {
  const state = chip();
  const time = h("time", { class: "at" });
  const answer = h("p", { class: "outcome" });
  const form = answering(question, store, "closed");
  const element = h(
    "li",
    {},
    h(
      "details",
      { class: "decided", "data-question": question.id },
      h("summary", {}, time, state, h("span", { class: "tag" }, "question"), h("span", { class: "name" }, question.asker), h("span", { class: "text" }, question.question)),
      h("div", { class: "inside" }, h("div", { class: "prose" }, question.question), answer, form.element),
    ),
  );
  return {
    element,
    update(value) {
      showMoment(time, value.closed_at);
      showChip(state, value.state);
      say(answer, answerText(value));
      form.update(value);
    },
  };
}

/**
 * What answers a question, there while an answer counts.
 *
 * @param {Question} first
 * @param {import("../state/store.js").Store} store
 * @param {string} place
 * @returns {import("./elements.js").Item<Question>}
 */
function answering(first, store, place) {
  const { id, asker, target, options, multi } = first;
  const path = `/api/questions/${id}`;
  const ident = `${place}-question-${id}`;
  const give = (/** @type {string | string[]} */ answer) => ask(store, `${path}/answer`, { answer });
  const ticks = multi ? options.map((option, index) => h("input", { type: "checkbox", value: option, id: `${ident}-${index}` })) : [];
  const choices = multi
    ? ticks.map((tick) => h("label", { class: "option" }, tick, h("span", {}, tick.value)))
    : options.map((option) => actionButton({ label: option, run: () => give(option) }).element);
  const words = h("textarea", { id: `${ident}-words`, rows: 1, placeholder: options.length > 0 ? "Or in your own words" : "Your answer" });
  const answer = actionButton({ label: isInStead(first) ? `Answer in the stead of ${target}` : "Answer", primary: true, run: () => give(given()) });
  const cancel = actionButton({
    label: "Cancel question",
    confirm: "Cancel it",
    warning: () => `Question ${id} of ${asker} is closed without an answer.`,
    run: () => ask(store, `${path}/cancel`),
  });
  const late = h("p", { class: "quiet" }, "Its time is up. An answer now is told as late.");
  const element = h(
    "div",
    { class: "answering" },
    late,
    choices.length > 0 && h("fieldset", { class: multi ? "" : "answers" }, h("legend", { class: "unseen" }, multi ? "Any of" : "Answer with one of"), ...choices),
    h("label", { class: "unseen", for: words.id }, `Answer to question ${id}`),
    words,
    h("div", { class: "decide" }, answer.element, cancel.element),
  );

  /** @returns {string | string[]} */
  function given() {
    const text = words.value.trim();
    const ticked = ticks.filter((tick) => tick.checked).map((tick) => tick.value);
    if (ticked.length > 0) return text ? [...ticked, text] : ticked;
    if (!text) throw new Error(options.length > 0 ? "Choose an answer, or write one." : "Write an answer first.");
    return text;
  }

  return {
    element,
    update({ state }) {
      element.hidden = !canBeAnswered({ state });
      late.hidden = state !== "expired";
      cancel.element.hidden = state !== "open";
    },
  };
}

/**
 * @param {Question} question
 * @returns {boolean} whether an answer of the operator's is one in another's stead
 */
function isInStead({ target }) {
  return target !== "operator";
}

/**
 * @param {Question} question
 * @returns {string | null}
 */
function answerText({ answer, answerer, late }) {
  if (answer === null || answer === undefined) return null;
  const text = Array.isArray(answer) ? answer.join(", ") : answer;
  return `${answerer ?? "answered"}${late ? " (late)" : ""}: ${text}`;
}
