/**
 * The hive as a whole: whether it is paused, how far a restart of its agents is, what today has cost,
 * and what the operator can do to all agents at once.
 */

import { canResume } from "../state/pauses.js";
import { actionButton, ask } from "./actions.js";
import { part, say } from "./elements.js";
import { spawning } from "./spawn.js";
import { marksIn, pauseMarks } from "./standing.js";
import { moment, now } from "./times.js";
import { counted, priced } from "./words.js";

/** @typedef {import("../types.js").Rollout} Rollout */
/** @typedef {import("../types.js").State} State */

/** @param {import("../state/store.js").Store} store */
export function showWhole(store) {
  const paused = part("hive-paused", HTMLElement);
  const marks = marksIn(part("hive-pause-rows", HTMLUListElement));
  const rollout = part("rollout", HTMLElement);
  const spent = part("spent", HTMLElement);
  const pause = actionButton({ label: "Pause all", run: () => ask(store, "/api/hive/pause"), again: true });
  const resume = actionButton({ label: "Resume all", run: () => ask(store, "/api/hive/resume"), again: true });
  const restart = actionButton({
    label: "Restart all",
    confirm: "Restart all",
    warning: () => restartWarning(store.state),
    run: () => ask(store, "/api/hive/restart", { agents: null, reason: "the operator restarts all agents" }),
    again: true,
  });
  const controls = part("hive-pause", HTMLElement);
  controls.append(pause.element);
  const { button, form } = spawning(store);
  part("hive-controls", HTMLElement).append(button, restart.element);
  part("agents-head", HTMLElement).after(form);
  paused.append(resume.element);
  /** @type {State["hive"] | null} */
  let shown = null;
  /** @type {State["agents"] | null} */
  let agentsShown = null;
  store.show(({ hive, agents }) => {
    if (hive === shown && (agents === agentsShown || hive.rollout === null)) return;
    shown = hive;
    agentsShown = agents;
    const hadFocus = [controls, paused].some((each) => each.contains(document.activeElement));
    marks(pauseMarks(hive.pauses, "The hive is "));
    paused.hidden = hive.pauses.length === 0;
    resume.element.hidden = !canResume(hive.pauses, now());
    pause.element.hidden = hive.pauses.some(({ cause }) => cause === "operator");
    if (restart.element.hidden !== (hive.rollout !== null)) {
      restart.element.hidden = hive.rollout !== null;
      restart.reset();
    }
    if (hadFocus && document.activeElement?.closest("[hidden]")) {
      const heir = [resume, pause, restart].find(({ element }) => !element.closest("[hidden]"));
      heir?.element.querySelector("button")?.focus();
    }
    showRollout(rollout, hive.rollout, agents);
    say(spent, hive.spent_today_usd > 0 ? `${priced(hive.spent_today_usd)} today` : null);
  });
}

/**
 * @param {HTMLElement} element
 * @param {Rollout | null} rollout
 * @param {State["agents"]} agents
 */
function showRollout(element, rollout, agents) {
  element.hidden = rollout === null;
  if (rollout === null) return;
  const bar = part("rollout-bar", HTMLProgressElement);
  const failed = Object.entries(rollout.failed).map(([name, why]) => `${name}: ${why}`);
  bar.max = Math.max(1, rollout.order.length);
  bar.value = rollout.restarted.length + failed.length;
  say(part("rollout-title", HTMLElement), `Restarting: ${rollout.reason}`);
  say(part("rollout-text", HTMLElement), progress(rollout, agents));
  say(part("rollout-failed", HTMLElement), failed.length > 0 ? `Not back: ${failed.join("; ")}` : null);
}

/**
 * @param {Rollout} rollout
 * @param {State["agents"]} agents
 * @returns {string}
 */
function progress({ phase, order, deadline, going, restarted, waiting }, agents) {
  if (phase === "draining") {
    const running = order.filter((name) => agents.get(name)?.turn);
    return running.length > 0
      ? `turns of ${running.join(", ")} may end until ${moment(deadline)}`
      : "no turn runs any more";
  }
  const parts = [
    `${restarted.length} of ${order.length} back`,
    Object.keys(going).length > 0 && `on the way: ${Object.keys(going).join(", ")}`,
    waiting.length > 0 && `to come: ${waiting.join(", ")}`,
  ];
  return parts.filter(Boolean).join(" · ");
}

/**
 * @param {State} state
 * @returns {string}
 */
function restartWarning({ agents }) {
  const running = [...agents.values()].filter(({ turn }) => turn !== null).length;
  const turns =
    running === 0
      ? "No turn runs."
      : `${counted(running, "turn")} may end first; what has not ended after a while is cut, and its messages come again.`;
  return `All agents restart, the manager first. ${turns}`;
}
