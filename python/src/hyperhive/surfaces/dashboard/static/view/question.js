/**
 * One question, with its options, room for any other answer, and its deadline.
 *
 * The options are advice: what is written counts more than what is ticked, and of a question that allows
 * several, both are sent. Answering a question between agents is answering in the target's stead.
 */

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
  const path = `/api/questions/${first.id}`;
  const ident = `${place}-question-${first.id}`;
  const state = chip();
  const since = h("time", { class: "since" });
  const left = h("time", { class: "left" });
  const who = h("p", { class: "who" });
  const inStead = first.target !== "operator";
  const choices = first.options.map((option, index) =>
    h(
      "label",
      { class: "option" },
      h("input", { type: first.multi ? "checkbox" : "radio", name: ident, value: option, id: `${ident}-${index}` }),
      h("span", {}, option),
    ),
  );
  const words = h("textarea", { id: `${ident}-words`, rows: 1, placeholder: first.options.length > 0 ? "Or in your own words" : "Your answer" });
  const answer = actionButton({
    label: inStead ? `Answer in the stead of ${first.target}` : "Answer",
    primary: true,
    run: () => ask(store, `${path}/answer`, { answer: given() }),
  });
  const cancel = actionButton({
    label: "Cancel question",
    confirm: "Cancel it",
    warning: () => `Question ${first.id} of ${first.asker} is closed without an answer.`,
    run: () => ask(store, `${path}/cancel`),
  });
  const form = h(
    "div",
    { class: "answering" },
    choices.length > 0 && h("fieldset", {}, h("legend", { class: "unseen" }, first.multi ? "Any of" : "One of"), ...choices),
    h("label", { class: "unseen", for: words.id }, `Answer to question ${first.id}`),
    words,
    h("div", { class: "decide" }, answer.element, cancel.element),
  );

  /** @returns {string | string[]} */
  function given() {
    const text = words.value.trim();
    const ticked = choices.map((choice) => choice.querySelector("input")).filter((input) => input?.checked).map((input) => input?.value ?? "");
    if (first.multi && first.options.length > 0 && ticked.length > 0) return text ? [...ticked, text] : ticked;
    const answer = text || ticked[0];
    if (!answer) throw new Error(first.options.length > 0 ? "Choose an answer, or write one." : "Write an answer first.");
    return answer;
  }

  const element = h(
    "li",
    {},
    h(
      "article",
      { class: "decision", "aria-label": `Question ${first.id}`, "data-question": first.id },
      h("header", {}, state, h("span", { class: "tag" }, "question"), who, h("span", { class: "now" }, left, since)),
      h("div", { class: "prose asked" }, first.question),
      form,
    ),
  );
  return {
    element,
    update(question) {
      showChip(state, question.state);
      showSince(since, question.at);
      showLeft(left, question.state === "open" ? question.expires_at : null);
      who.replaceChildren(agentLink(question.asker), ...(inStead ? [" asks ", agentLink(question.target)] : [" asks you"]), ` · question ${question.id}`);
      form.hidden = question.state !== "open" && question.state !== "expired";
    },
  };
}

/**
 * @param {Question} question
 * @returns {import("./elements.js").Item<Question>}
 */
export function closedQuestion(question) {
  const state = chip();
  const time = h("time", { class: "at" });
  const answer = h("p", { class: "outcome" });
  const element = h(
    "li",
    {},
    h(
      "details",
      { class: "decided", "data-question": question.id },
      h("summary", {}, time, state, h("span", { class: "tag" }, "question"), h("span", { class: "name" }, question.asker), h("span", { class: "text" }, question.question)),
      h("div", { class: "inside" }, h("div", { class: "prose" }, question.question), answer),
    ),
  );
  return {
    element,
    update(value) {
      showMoment(time, value.closed_at);
      showChip(state, value.state);
      say(answer, answerText(value));
    },
  };
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
