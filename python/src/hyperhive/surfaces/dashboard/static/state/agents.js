/**
 * Agents by name: what each is, what it does, what the operator decided, and what its inbox holds.
 *
 * Inbox counts follow the life of messages, which move from one state to the next. The state a
 * message leaves is looked up where the page holds that message, and otherwise the one that the
 * step always starts from.
 */

import { held } from "./messages.js";
import { without, withPause } from "./pauses.js";

/** @typedef {import("../types.js").State["agents"]} Agents */
/** @typedef {import("../types.js").Agent} Agent */
/** @typedef {import("../types.js").HiveEvent} HiveEvent */
/** @typedef {import("../types.js").MessageState} MessageState */

/** @type {Readonly<Record<string, readonly [MessageState | null, MessageState]>>} */
export const STEPS = {
  message_queued: [null, "queued"],
  message_leased: ["queued", "leased"],
  message_acked: ["leased", "acked"],
  message_released: ["leased", "queued"],
  message_dead: ["leased", "dead"],
  message_requeued: ["dead", "queued"],
  message_dropped: ["dead", "dropped"],
  message_withdrawn: ["queued", "dropped"],
};

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {Agents}
 */
export function fromSnapshot(snapshot) {
  return new Map(snapshot.agents.map((agent) => [agent.name, agent]));
}

/**
 * @param {Agents} agents
 * @param {HiveEvent} event
 * @param {import("../types.js").MessagesState} messages as they were before `event`
 * @returns {Agents}
 */
export function apply(agents, event, messages) {
  const name = event.agent ?? "";
  switch (event.kind) {
    case "agent_added":
      return new Map(agents).set(name, event.data.agent);
    case "agent_changed":
      // What is declared has changed; what it holds and does is told by events of its own.
      return changed(agents, name, ({ inbox, turn, bytes }) => ({
        ...event.data.agent,
        inbox,
        turn,
        bytes,
      }));
    case "agent_removed": {
      const rest = new Map(agents);
      return rest.delete(name) ? rest : agents;
    }
    case "agent_state_changed": {
      const { state, reason, since } = event.data;
      return changed(agents, name, () => ({ state, reason: reason ?? null, since }));
    }
    case "agent_status_changed": {
      const { status, status_at } = event.data;
      return changed(agents, name, () => ({ status, status_at }));
    }
    case "turn_started": {
      const { id, started_at } = event.data;
      return changed(agents, name, () => ({ turn: { id, started_at } }));
    }
    case "turn_ended":
      return changed(agents, name, (agent) =>
        agent.turn?.id === event.data.id ? { turn: null } : {},
      );
    case "agent_context_changed":
      return changed(agents, name, () => ({ context: event.data.context }));
    case "box_probed":
      return changed(agents, name, () => ({ probe: event.data.probe }));
    case "agent_held": {
      const { by, at } = event.data;
      return changed(agents, name, () => ({ held: { by, at } }));
    }
    case "agent_unheld":
      return changed(agents, name, () => ({ held: null }));
    case "agent_paused":
      return changed(agents, name, ({ pauses }) => ({ pauses: withPause(pauses, event.data.pause) }));
    case "agent_resumed":
      return changed(agents, name, ({ pauses }) => ({ pauses: without(pauses, event.data.cause) }));
    case "agent_model_changed":
      return changed(agents, name, () => ({ model: event.data.model }));
    case "agent_measured":
      return changed(agents, name, () => ({ bytes: event.data.bytes }));
    case "transient_set":
      return changed(agents, name, () => ({ transient: event.data.action }));
    case "transient_cleared":
      return changed(agents, name, ({ transient }) => ({
        transient: transient === event.data.action ? null : transient,
      }));
    default: {
      const step = STEPS[event.kind];
      return step ? counted(agents, name, event, step, messages) : agents;
    }
  }
}

/**
 * @param {Agents} agents
 * @param {string} name
 * @param {(agent: Agent) => Partial<Agent>} change
 * @returns {Agents}
 */
function changed(agents, name, change) {
  const agent = agents.get(name);
  return agent ? new Map(agents).set(name, { ...agent, ...change(agent) }) : agents;
}

/**
 * @param {Agents} agents
 * @param {string} name
 * @param {HiveEvent} event
 * @param {readonly [MessageState | null, MessageState]} step
 * @param {import("../types.js").MessagesState} messages
 * @returns {Agents}
 */
function counted(agents, name, event, [usual, next], messages) {
  const previous = usual === null ? null : (held(messages, event.data.id)?.state ?? usual);
  return changed(agents, name, ({ inbox }) => {
    const counts = { ...inbox };
    if (previous !== null && previous in counts) {
      const key = /** @type {keyof typeof counts} */ (previous);
      counts[key] = Math.max(0, counts[key] - 1);
    }
    if (next in counts) counts[/** @type {keyof typeof counts} */ (next)] += 1;
    return { inbox: counts };
  });
}
