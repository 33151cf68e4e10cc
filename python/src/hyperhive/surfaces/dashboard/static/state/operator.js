/** The operator's own inbox: how many messages wait to be opened. */

export const OPERATOR = "operator";

/** @typedef {import("../types.js").State["operator"]} Operator */

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {Operator}
 */
export function fromSnapshot(snapshot) {
  return { unread: snapshot.operator.unread };
}

/**
 * @param {Operator} operator
 * @param {import("../types.js").HiveEvent} event
 * @returns {Operator}
 */
export function apply(operator, event) {
  switch (event.kind) {
    case "message_queued":
      return event.data.message.to === OPERATOR ? { unread: operator.unread + 1 } : operator;
    case "message_read":
      return { unread: Math.max(0, operator.unread - 1) };
    default:
      return operator;
  }
}
