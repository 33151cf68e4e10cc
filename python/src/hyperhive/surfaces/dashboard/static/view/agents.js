/** Agents as cards: what each is doing, why, since when, what waits for it, and what can be done. */

import { AgentControls } from "./controls.js";
import { h, KeyedList, part, say } from "./elements.js";
import { agentMarks, marksIn } from "./standing.js";
import { showSince } from "./times.js";
import { agentLink, chip, showChip, sized } from "./words.js";

/** @typedef {import("../types.js").Agent} Agent */

/** @param {import("../state/store.js").Store} store */
export function showAgents(store) {
  const count = part("agent-count", HTMLElement);
  /** @type {KeyedList<Agent>} */
  const list = new KeyedList(part("agent-cards", HTMLUListElement), (agent) => agentCard(agent, store));
  /** @type {ReadonlyMap<string, Agent> | null} */
  let shown = null;
  store.show(({ agents }) => {
    if (agents === shown) return;
    shown = agents;
    count.textContent = String(agents.size);
    const order = [...agents].sort(([a, left], [b, right]) => rank(left) - rank(right) || (a < b ? -1 : 1));
    list.show(new Map(order));
  });
}

/**
 * @param {Agent} agent
 * @returns {number} the manager comes first
 */
function rank(agent) {
  return agent.role === "manager" ? 0 : 1;
}

/**
 * @param {Agent} first
 * @param {import("../state/store.js").Store} store
 * @returns {import("./elements.js").Item<Agent>}
 */
function agentCard(first, store) {
  const { name } = first;
  const role = h("span", { class: "tag" }, "manager");
  const spawned = h("span", { class: "tag" }, "spawned");
  const state = chip();
  const since = h("time", { class: "since" });
  const reason = h("p", { class: "reason" });
  const status = h("p", { class: "status" });
  const statusText = h("span", {});
  const statusAt = h("time", { class: "since" });
  const turn = h("span", { class: "turn" });
  const turnSince = h("time", { class: "since" });
  const turnLine = h("span", { class: "turn-line" }, turn, turnSince);
  const description = h("p", { class: "description" });
  const marks = h("ul", { class: "standing", "aria-label": "What holds it back" });
  const showMarks = marksIn(marks);
  const context = contextLine();
  const controls = new AgentControls(first, store);
  const box = h("span", { class: "box" });
  const queued = count("queued");
  const leased = count("leased");
  const dead = count("dead");
  const none = h("span", {}, "inbox empty");
  status.append(statusText, " ", statusAt);
  const element = h(
    "li",
    {},
    h(
      "article",
      { class: "card", "aria-label": `Agent ${name}`, "data-agent": name },
      h("header", {}, h("h3", {}, agentLink(name)), role, spawned, h("span", { class: "now" }, state, since)),
      description,
      marks,
      reason,
      status,
      h(
        "footer",
        {},
        h("span", { class: "inbox", role: "group", "aria-label": "Inbox" }, none, queued.element, leased.element, dead.element),
        turnLine,
        context.element,
        box,
      ),
      controls.element,
    ),
  );
  return {
    element,
    update(agent) {
      role.hidden = agent.role !== "manager";
      spawned.hidden = agent.declared;
      showChip(state, agent.state);
      showSince(since, agent.since);
      say(description, agent.description);
      say(reason, agent.reason);
      statusText.textContent = agent.status ?? "";
      status.hidden = !agent.status;
      showSince(statusAt, agent.status_at);
      queued.update(agent.inbox.queued);
      leased.update(agent.inbox.leased);
      dead.update(agent.inbox.dead);
      none.hidden = agent.inbox.queued + agent.inbox.leased + agent.inbox.dead > 0;
      turnLine.hidden = agent.turn === null;
      turn.textContent = agent.turn ? `turn ${agent.turn.id}` : "";
      showSince(turnSince, agent.turn?.started_at ?? null);
      showMarks(agentMarks(agent));
      context.update(agent.context);
      const size = typeof agent.bytes === "number" && sized(agent.bytes);
      const facts = [agent.driver, modelOf(agent), agent.runtime, size];
      box.textContent = facts.filter(Boolean).join(" · ");
      controls.update(agent);
    },
  };
}

/**
 * @param {import("../types.js").Agent} agent
 * @returns {string | null} the model it uses, and beside it the declared one where that is another
 */
function modelOf({ model, declared_model: declared }) {
  return model === null || model === declared ? model : `${model} (declared: ${declared ?? "none"})`;
}

/**
 * @param {string} noun
 * @returns {{element: HTMLElement, update: (value: number) => void}}
 */
function count(noun) {
  const number = h("b", {});
  const element = h("span", { class: `count count-${noun}` }, number, ` ${noun}`);
  return {
    element,
    update(value) {
      const text = value.toLocaleString("en");
      if (number.textContent !== text) number.textContent = text;
      element.hidden = value === 0;
    },
  };
}

/** How full the conversation is: a share where the window is known. */
function contextLine() {
  const bar = h("meter", { min: 0, max: 1, low: 0.75, high: 0.9, optimum: 0, "aria-hidden": "true" });
  const text = h("span", {});
  const element = h("span", { class: "context" }, bar, text);
  return {
    element,
    /** @param {Agent["context"]} context */
    update(context) {
      element.hidden = context === null;
      if (context === null) return;
      const { tokens, window } = context;
      const share = window ? Math.min(1, tokens / window) : null;
      bar.hidden = share === null;
      bar.value = share ?? 0;
      const many = `${tokens.toLocaleString("en")} tokens`;
      text.textContent = share === null ? `context ${many}` : `context ${Math.round(share * 100)}%`;
      element.title = window ? `${many} of ${window.toLocaleString("en")}` : many;
    },
  };
}
