/** Alerts: what wants the operator's eye until it is over, by key. */

/** @typedef {import("../types.js").State["alerts"]} Alerts */

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {Alerts}
 */
export function fromSnapshot(snapshot) {
  return new Map(snapshot.alerts.map((alert) => [alert.key, alert]));
}

/**
 * @param {Alerts} alerts
 * @param {import("../types.js").HiveEvent} event
 * @returns {Alerts}
 */
export function apply(alerts, event) {
  switch (event.kind) {
    case "alert_raised": {
      const { key, severity, text, agent, raised_at } = event.data;
      const raised = { key, severity, text, agent: agent ?? null, raised_at: raised_at ?? event.at };
      return new Map(alerts).set(key, raised);
    }
    case "alert_cleared": {
      const rest = new Map(alerts);
      return rest.delete(event.data.key) ? rest : alerts;
    }
    default:
      return alerts;
  }
}

/**
 * @param {Pick<import("../types.js").Alert, "severity">} alert
 * @returns {boolean} whether something does not work, rather than may come to that
 */
export function isGrave({ severity }) {
  return severity === "critical" || severity === "error";
}
