/** The page of one agent: what it does now, what it has, what it owes, what it cost, and every control. */

import { AgentControls } from "../view/controls.js";
import { deploymentsPanel } from "../view/deployments.js";
import { h, KeyedList, say } from "../view/elements.js";
import { figures } from "../view/figures.js";
import { Inbox } from "../view/inbox.js";
import { logPanel } from "../view/log.js";
import { panel, wide } from "../view/panel.js";
import { quotasView } from "../view/quotas.js";
import { Reminding } from "../view/reminding.js";
import { agentMarks, marksIn } from "../view/standing.js";
import { Terminal, turnFacts } from "../view/terminal.js";
import { ThreadList } from "../view/threads.js";
import { showMoment, showSince } from "../view/times.js";
import { chip, nameTag, showChip, sized } from "../view/words.js";
import { get } from "../wire/api.js";

/** @typedef {import("../types.js").Agent} Agent */
/** @typedef {import("../types.js").Turn} Turn */

const TURNS_SHOWN = 50;

/**
 * @param {import("../state/store.js").Store} store
 * @param {(name: string) => void} write begins a message to an agent
 * @param {(message: import("../types.js").Message) => void} reply
 * @returns {import("../router.js").Page}
 */
export function openAgentPage(store, write, reply) {
  const element = h("div", { class: "page", id: "agent" });
  /** @type {AgentView | null} */
  let view = null;
  let shown = "";
  let isHere = false;

  /** @param {string} name */
  function show(name) {
    view?.end();
    shown = name;
    view = store.state.agents.has(name) ? new AgentView(name, store, write, reply) : null;
    element.replaceChildren(view?.element ?? h("h2", { tabindex: "-1" }, `There is no agent “${name}”.`));
  }

  const look = () => view?.look(isHere && !document.hidden);
  document.addEventListener("visibilitychange", look);
  store.show(({ agents }) => {
    // An address may be of one that is only just coming.
    if (!isHere || view || !agents.has(shown)) return;
    show(shown);
    look();
  });
  store.heedRenewal(() => {
    show(shown);
    look();
  });
  return {
    element,
    enter(name) {
      isHere = true;
      if (shown !== name || !view) show(name);
      look();
      return name;
    },
    leave() {
      isHere = false;
      look();
    },
  };
}

class AgentView {
  #terminal;
  #inbox;
  #figures;
  /** @type {Map<number, Turn>} */
  #turns = new Map();
  #turnRows = h("tbody", {});
  /** @type {KeyedList<Turn>} */
  #turnList;
  #trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  #threads;
  #reminding;
  #quotas;
  /** @type {(() => void)[]} */
  #ends = [];
  /** @type {() => void} */
  #draw;
  #looking = false;
  #isNew = true;
  /** @type {import("../types.js").HiveEvent[] | null} those that came while turns were being listed */
  #early = null;

  /**
   * @param {string} name
   * @param {import("../state/store.js").Store} store
   * @param {(name: string) => void} write
   * @param {(message: import("../types.js").Message) => void} reply
   */
  constructor(name, store, write, reply) {
    this.name = name;
    this.#terminal = new Terminal(name);
    this.#inbox = new Inbox(name, store, reply);
    this.#figures = figures(name, "agent");
    this.#quotas = quotasView(name);
    this.#turnList = new KeyedList(this.#turnRows, (turn) => turnRow(turn, () => this.#terminal.only(this.#turns.get(turn.id) ?? turn)));
    this.#threads = new ThreadList(name, store);
    this.#reminding = new Reminding(name, store);
    const first = /** @type {Agent} */ (store.state.agents.get(name));
    const head = headOf(first, store, () => write(name));
    const log = logPanel(name);
    const deployments = deploymentsPanel(name, store);
    deployments.element.hidden = first.declared;
    this.element = h(
      "div",
      { class: "agent-page" },
      wide(head.element),
      wide(this.#trouble),
      panel("turn-title", "Live", this.#terminal.element),
      panel("inbox-title", "Inbox", this.#inbox.element),
      panel("threads-title", "Open threads", this.#threads.element),
      this.#reminding.element,
      panel("turns-title", "Turns", h("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Table of turns" }, h("table", {}, h("thead", {}, h("tr", {}, ...["Turn", "Began", "End", "What it took", ""].map((text) => h("th", { scope: "col" }, text || h("span", { class: "unseen" }, "Show"))))), this.#turnRows))),
      wide(panel("figures-title", "What it used", this.#figures.element)),
      panel("quotas-title", "Quotas", this.#quotas.element),
      deployments.element,
      log,
    );
    this.#draw = () => {
      head.update(store.state.agents.get(name));
      this.#inbox.draw();
      this.#threads.draw();
      this.#reminding.draw();
      this.#figures.refresher.look();
    };
    this.#ends.push(
      // While nobody looks it only listens: a day's events cost a hidden page next to nothing.
      store.show(() => this.#looking && this.#draw()),
      store.hear((event) => this.#heard(event)),
      store.hear(deployments.heard),
    );
  }

  /** @param {boolean} looking */
  look(looking) {
    this.#looking = looking;
    this.#terminal.look(looking);
    if (looking) this.#draw();
    if (!looking || !this.#isNew) return;
    this.#isNew = false;
    void this.#load();
  }

  async #load() {
    const name = encodeURIComponent(this.name);
    void this.#inbox.load(false);
    this.#figures.refresher.look();
    void this.#threads.load();
    void this.#reminding.load();
    this.#quotas.refresher.look();
    this.#early = [];
    try {
      const page = await get(`/api/agents/${name}/turns?limit=${TURNS_SHOWN}`);
      for (const turn of page.turns) if (!this.#turns.has(turn.id)) this.#turns.set(turn.id, turn);
      this.#terminal.begin(page.turns);
      for (const event of this.#early ?? []) this.#heardOfTurn(event);
      this.#drawTurns();
      say(this.#trouble, null);
    } catch (error) {
      // Coming back to the page asks for everything again.
      this.#isNew = true;
      say(this.#trouble, error instanceof Error ? error.message : String(error));
    }
    this.#early = null;
  }

  /** @param {import("../types.js").HiveEvent} event */
  #heard(event) {
    this.#inbox.heard(event);
    this.#threads.heard(event);
    this.#reminding.heard(event);
    if (event.agent !== this.name || !event.kind.startsWith("turn_")) return;
    if (event.kind === "turn_ended") this.#figures.refresher.outdate();
    this.#heardOfTurn(event);
    this.#early?.push(event);
  }

  /** @param {import("../types.js").HiveEvent} event */
  #heardOfTurn({ kind, data }) {
    if (kind === "turn_started" && !this.#turns.has(data.id)) {
      const blank = { ended_at: null, outcome: null, error: null, usage: {}, context_tokens: null, tools: {}, kind: "work", model: null };
      this.#took({ ...blank, ...data, agent: this.name });
    } else if (kind === "turn_ended") {
      const known = this.#turns.get(data.id);
      if (known) this.#took({ ...known, ...data, usage: data.usage ?? {} });
    }
  }

  /** @param {Turn} turn */
  #took(turn) {
    this.#turns.set(turn.id, turn);
    this.#terminal.turn(turn);
    this.#drawTurns();
  }

  #drawTurns() {
    const newest = [...this.#turns.values()].sort((a, b) => b.id - a.id).slice(0, TURNS_SHOWN);
    this.#turns = new Map(newest.map((turn) => [turn.id, turn]));
    this.#turnList.show(this.#turns);
  }

  end() {
    this.look(false);
    for (const end of this.#ends) end();
  }
}

/**
 * @param {Agent} first
 * @param {import("../state/store.js").Store} store
 * @param {() => void} write
 */
function headOf(first, store, write) {
  const state = chip();
  const since = h("time", { class: "since" });
  const facts = h("p", { class: "facts" });
  const reason = h("p", { class: "reason" });
  const status = h("p", { class: "status" });
  const gone = h("p", { class: "notice", hidden: true }, "This agent is gone. What it left is under “Gone” on the page of the hive.");
  const marks = h("ul", { class: "standing", "aria-label": "What holds it back" });
  const showMarks = marksIn(marks);
  const controls = new AgentControls(first, store, "page-");
  const message = h("button", { type: "button", class: "button", click: write }, "Write to it");
  controls.element.prepend(h("div", {}, message));
  const element = h(
    "section",
    { class: "panel agent-head", "aria-label": `Agent ${first.name}` },
    h("header", {}, h("h2", { class: "agent-name", tabindex: "-1" }, nameTag(first.name)), state, since),
    gone,
    facts,
    marks,
    reason,
    status,
    controls.element,
  );
  return {
    element,
    /** @param {Agent | undefined} agent */
    update(agent) {
      gone.hidden = agent !== undefined;
      controls.element.hidden = agent === undefined;
      if (!agent) return;
      showChip(state, agent.state);
      showSince(since, agent.since);
      showMarks(agentMarks(agent));
      say(reason, agent.reason);
      say(status, agent.status);
      const { inbox, context } = agent;
      const known = [
        agent.role,
        agent.declared ? "declared" : "spawned",
        agent.description,
        agent.driver,
        agent.model,
        agent.runtime,
        typeof agent.bytes === "number" && sized(agent.bytes),
        `${inbox.queued} queued, ${inbox.leased} leased, ${inbox.dead} dead`,
        context && `context ${context.tokens.toLocaleString("en")}${context.window ? ` of ${context.window.toLocaleString("en")}` : ""} tokens`,
      ];
      say(facts, known.filter(Boolean).join(" · "));
      controls.update(agent);
    },
  };
}

/**
 * @param {Turn} turn
 * @param {() => void} show
 * @returns {import("../view/elements.js").Item<Turn>}
 */
function turnRow(turn, show) {
  const time = h("time", { class: "at" });
  const outcome = chip();
  const facts = h("td", {});
  showMoment(time, turn.started_at);
  const button = h("button", { type: "button", class: "button", "aria-label": `Show turn ${turn.id}`, click: show }, "Show");
  return {
    element: h("tr", {}, h("th", { scope: "row" }, String(turn.id)), h("td", {}, time), h("td", {}, outcome), facts, h("td", {}, button)),
    update(value) {
      showChip(outcome, value.outcome ?? "running");
      facts.textContent = turnFacts(value);
    },
  };
}
