/**
 * The page's state: one snapshot, then every event after it, noun by noun.
 *
 * Pure: no clock, no document, no network. `apply` gives what a snapshot taken after the event
 * would give, so nothing has to be fetched again. An event that was applied before changes nothing.
 */

import * as agents from "./agents.js";
import * as alerts from "./alerts.js";
import * as approvals from "./approvals.js";
import * as forge from "./forge.js";
import * as hive from "./hive.js";
import * as messages from "./messages.js";
import * as operator from "./operator.js";
import * as plan from "./plan.js";
import * as questions from "./questions.js";
import * as reminders from "./reminders.js";
import * as tombstones from "./tombstones.js";

/** @typedef {import("../types.js").State} State */

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {State}
 */
export function fromSnapshot(snapshot) {
  return {
    seq: snapshot.seq,
    epoch: snapshot.epoch,
    hive: hive.fromSnapshot(snapshot),
    agents: agents.fromSnapshot(snapshot),
    plan: plan.fromSnapshot(snapshot),
    messages: messages.fromSnapshot(snapshot),
    operator: operator.fromSnapshot(snapshot),
    alerts: alerts.fromSnapshot(snapshot),
    tombstones: tombstones.fromSnapshot(snapshot),
    questions: questions.fromSnapshot(snapshot),
    approvals: approvals.fromSnapshot(snapshot),
    reminders: reminders.fromSnapshot(snapshot),
    forge: forge.fromSnapshot(snapshot),
  };
}

/**
 * @param {State} state
 * @param {import("../types.js").HiveEvent} event
 * @returns {State}
 */
export function apply(state, event) {
  if (event.seq <= state.seq) return state;
  return {
    seq: event.seq,
    epoch: state.epoch,
    hive: hive.apply(state.hive, event),
    agents: agents.apply(state.agents, event, state.messages),
    plan: plan.apply(state.plan, event),
    messages: messages.apply(state.messages, event),
    operator: operator.apply(state.operator, event),
    alerts: alerts.apply(state.alerts, event),
    tombstones: tombstones.apply(state.tombstones, event),
    questions: questions.apply(state.questions, event),
    approvals: approvals.apply(state.approvals, event),
    reminders: reminders.apply(state.reminders, event),
    forge: forge.apply(state.forge, event),
  };
}
