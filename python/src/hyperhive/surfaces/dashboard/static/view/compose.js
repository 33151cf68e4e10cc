/**
 * Writes to an agent, the manager or everyone.
 *
 * A text that was not accepted stays, with the refusal beside it. Each text has a key of its own, so
 * that sending it again after a lost answer delivers it once.
 */

import { post } from "../wire/api.js";
import { h, KeyedList, part, say } from "./elements.js";

/** @typedef {import("../types.js").Message} Message */
/** @typedef {{value: string, label: string}} Choice */

export class Compose {
  #form = part("compose", HTMLFormElement);
  #to = part("compose-to", HTMLSelectElement);
  #body = part("compose-body", HTMLTextAreaElement);
  #send = part("compose-send", HTMLButtonElement);
  #refusal = part("compose-refusal", HTMLElement);
  #result = part("compose-result", HTMLElement);
  #reply = part("compose-reply", HTMLElement);
  #replyText = part("compose-reply-text", HTMLElement);
  /** @type {number | null} */
  #inReplyTo = null;
  #key = newKey();

  /** @param {import("../state/store.js").Store} store */
  constructor(store) {
    /** @type {KeyedList<Choice>} */
    const choices = new KeyedList(this.#to, choiceItem);
    /** @type {import("../types.js").State["agents"] | null} */
    let shown = null;
    store.show(({ agents }) => {
      if (agents === shown) return;
      shown = agents;
      choices.show(recipients(agents));
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#body.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.#submit();
    });
    this.#body.addEventListener("input", () => this.#changed());
    this.#to.addEventListener("change", () => this.#changed());
    part("compose-unreply", HTMLButtonElement).addEventListener("click", () => {
      this.#setReply(null);
      this.#body.focus();
    });
  }

  /** @param {string} name the agent's */
  writeTo(name) {
    this.#to.value = name;
    this.#setReply(null);
    this.#body.focus();
  }

  /** @param {Message} message */
  replyTo(message) {
    this.#to.value = message.from;
    this.#setReply(message);
    this.#body.focus();
  }

  #changed() {
    this.#key = newKey();
    say(this.#refusal, null);
    this.#result.textContent = "";
  }

  /** @param {Message | null} message */
  #setReply(message) {
    this.#inReplyTo = message?.id ?? null;
    this.#reply.hidden = message === null;
    this.#replyText.textContent = message ? `In reply to message ${message.id} from ${message.from}` : "";
    this.#changed();
  }

  async #submit() {
    if (this.#send.ariaDisabled === "true") return;
    const { value: to } = this.#to;
    const { value: body } = this.#body;
    const key = this.#key;
    this.#send.ariaDisabled = "true";
    say(this.#refusal, null);
    this.#result.textContent = "Sending…";
    try {
      const reply = this.#inReplyTo === null ? {} : { in_reply_to: this.#inReplyTo };
      const answer = await post("/api/messages", { to, body, key, ...reply });
      // What was typed while the answer was on its way is another text, and stays.
      if (this.#key === key) {
        this.#body.value = "";
        this.#setReply(null);
      }
      this.#result.textContent = sentText(to, answer);
    } catch (error) {
      this.#result.textContent = "";
      say(this.#refusal, error instanceof Error ? error.message : String(error));
    }
    this.#send.ariaDisabled = "false";
  }
}

/**
 * @param {import("../types.js").State["agents"]} agents
 * @returns {Map<string, Choice>}
 */
function recipients(agents) {
  const names = [...agents.values()].filter(({ role }) => role !== "manager").map(({ name }) => name);
  const manager = [...agents.values()].find(({ role }) => role === "manager");
  const choices = [
    ...(manager ? [{ value: manager.name, label: `${manager.name} (manager)` }] : []),
    ...names.sort().map((name) => ({ value: name, label: name })),
    { value: "*", label: "everyone" },
  ];
  return new Map(choices.map((choice) => [choice.value, choice]));
}

/**
 * @param {Choice} choice
 * @returns {import("./elements.js").Item<Choice>}
 */
function choiceItem(choice) {
  const element = h("option", { value: choice.value });
  return {
    element,
    update: ({ label }) => {
      if (element.textContent !== label) element.textContent = label;
    },
  };
}

/**
 * @param {string} to
 * @param {any} answer
 * @returns {string}
 */
function sentText(to, answer) {
  if (to === "*") {
    const left = answer.left_out?.length ? `, leaving out ${answer.left_out.join(", ")}` : "";
    return `Sent to ${Object.keys(answer.ids ?? {}).join(", ") || "nobody"}${left}.`;
  }
  const receiver = typeof answer.receiver === "string" ? `, who is ${answer.receiver.replaceAll("_", " ")}` : "";
  return `Sent to ${to}${receiver}.`;
}

/** @returns {string} 128 random bits; available without HTTPS, unlike a random UUID */
function newKey() {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(16).padStart(8, "0")).join("");
}
