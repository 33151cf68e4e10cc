/**
 * What the operator can do to an agent, on its card: the usual things at once, the rest behind "More".
 *
 * What is offered follows the agent's state. What would end a turn, or a conversation, asks first.
 */

import { canResume } from "../state/pauses.js";
import { actionButton, ask } from "./actions.js";
import { h, say } from "./elements.js";
import { modelForm } from "./model.js";
import { now } from "./times.js";

/** @typedef {import("../types.js").Agent} Agent */

const DOWN = new Set(["stopped", "crashed"]);

export class AgentControls {
  /** @type {Agent} */
  #agent;
  #store;
  #more = h("button", { type: "button", class: "button", "aria-expanded": "false", click: () => this.#toggle() }, "More");
  #box = h("ul", { class: "remarks", "aria-label": "What its box found out" });

  /**
   * @param {Agent} agent
   * @param {import("../state/store.js").Store} store
   * @param {string} [place] tells the fields of one page from those of another
   */
  constructor(agent, store, place = "") {
    this.#agent = agent;
    this.#store = store;
    const cut = () => (this.#agent.turn ? `Turn ${this.#agent.turn.id} is ended; its messages come again.` : null);
    const drained = () =>
      this.#agent.turn ? `Turn ${this.#agent.turn.id} may end first; if it has not after a while, it is cut and its messages come again.` : null;
    this.start = this.#action("Start", "start");
    this.resume = this.#action("Resume", "resume");
    this.pause = this.#action("Pause", "pause");
    this.cancel = this.#action("Cancel turn", "cancel-turn", { warning: cut, confirm: "Cancel it" });
    this.restart = this.#action("Restart", "restart", { warning: drained, confirm: "Restart it" });
    this.stop = this.#action("Stop", "stop", { warning: cut, confirm: "Stop it" });
    this.compact = this.#action("Compact", "compact", { done: "It compacts before its next work." });
    this.newSession = this.#action("New session", "new-session", {
      warning: () => `The conversation of ${this.#agent.name} is left behind: its next turn begins a new one.`,
      confirm: "Begin anew",
      done: "Its next turn begins a new conversation.",
    });
    this.rebuild = this.#action("Rebuild", "rebuild", { warning: drained, confirm: "Rebuild it" });
    this.destroy = this.#action("Destroy", "destroy", {
      warning: () => `${this.#agent.name} is removed, and its turn ended. Its state is kept as a tombstone.`,
      confirm: "Destroy it",
    });
    const panel = h("div", { class: "more", id: `more-${place}${agent.name}`, hidden: true });
    panel.append(
      this.compact.element,
      this.newSession.element,
      this.rebuild.element,
      this.destroy.element,
      modelForm(agent.name, store, place),
      this.#box,
    );
    this.#more.setAttribute("aria-controls", panel.id);
    this.panel = panel;
    this.element = h(
      "div",
      { class: "controls", role: "group", "aria-label": `What to do with ${agent.name}` },
      ...[this.start, this.resume, this.pause, this.cancel, this.restart, this.stop].map(({ element }) => element),
      this.#more,
      panel,
    );
  }

  /** @param {Agent} agent */
  update(agent) {
    this.#agent = agent;
    const isUp = agent.held === null && !DOWN.has(agent.state);
    const canGoOn = canResume(agent.pauses, now());
    const hadFocus = this.element.contains(document.activeElement);
    show(this.start, !isUp || agent.state === "backing_off");
    show(this.resume, canGoOn);
    show(this.pause, isUp && !canGoOn);
    show(this.cancel, agent.turn !== null);
    show(this.restart, isUp && agent.transient === null);
    show(this.stop, isUp);
    show(this.destroy, !agent.declared);
    const { remarks = [], facts = [] } = agent.probe ?? {};
    this.#box.replaceChildren(...[...remarks, ...facts].map((said) => h("li", {}, said)));
    this.#box.hidden = remarks.length + facts.length === 0;
    if (hadFocus && document.activeElement?.closest("[hidden]")) this.#firstButton()?.focus();
  }

  /** @returns {HTMLElement | undefined} */
  #firstButton() {
    const buttons = [...this.element.querySelectorAll("button")];
    return buttons.find((button) => !button.closest("[hidden]"));
  }

  #toggle() {
    const isOpen = this.panel.hidden;
    this.panel.hidden = !isOpen;
    this.#more.setAttribute("aria-expanded", String(isOpen));
    say(this.#more, isOpen ? "Less" : "More");
  }

  /**
   * @param {string} label
   * @param {string} verb
   * @param {Partial<import("./actions.js").Action>} [options]
   */
  #action(label, verb, options = {}) {
    const run = () => ask(this.#store, `/api/agents/${encodeURIComponent(this.#agent.name)}/${verb}`);
    return actionButton({ label, run, again: true, ...options });
  }
}

/**
 * @param {ReturnType<typeof actionButton>} action
 * @param {boolean} wanted
 */
function show(action, wanted) {
  if (action.element.hidden !== wanted) return;
  action.element.hidden = !wanted;
  // What it asked or said was about how things were before.
  action.reset();
}
