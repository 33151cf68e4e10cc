/** Alerts, the gravest first, announced politely as they come. */

import { h, KeyedList, part } from "./elements.js";
import { showSince } from "./times.js";
import { nameTag } from "./words.js";

/** @typedef {import("../types.js").Alert} Alert */

const GRAVITY = ["critical", "error", "warning", "info"];

/** @param {import("../state/store.js").Store} store */
export function showAlerts(store) {
  const section = part("alerts", HTMLElement);
  /** @type {KeyedList<Alert>} */
  const list = new KeyedList(part("alert-rows", HTMLUListElement), alertItem);
  /** @type {ReadonlyMap<string, Alert> | null} */
  let shown = null;
  store.show(({ alerts }) => {
    if (alerts === shown) return;
    shown = alerts;
    const order = [...alerts].sort(([, a], [, b]) => rank(a) - rank(b) || a.raised_at - b.raised_at);
    section.classList.toggle("is-empty", alerts.size === 0);
    list.show(new Map(order));
  });
}

/**
 * @param {Alert} alert
 * @returns {number}
 */
function rank({ severity }) {
  const index = GRAVITY.indexOf(severity);
  return index < 0 ? GRAVITY.length : index;
}

/** @returns {import("./elements.js").Item<Alert>} */
function alertItem() {
  const severity = h("span", { class: "severity" });
  const text = h("span", { class: "text" });
  const about = h("span", { class: "about" });
  const since = h("time", { class: "since" });
  const element = h("li", {}, severity, about, text, since);
  return {
    element,
    update(alert) {
      element.className = `alert gravity-${GRAVITY.includes(alert.severity) ? alert.severity : "warning"}`;
      severity.textContent = alert.severity;
      text.textContent = alert.text;
      about.replaceChildren(...(alert.agent ? [nameTag(alert.agent)] : []));
      showSince(since, alert.raised_at);
    },
  };
}
