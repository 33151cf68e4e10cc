/** How much an agent may and how much it has used: it changes with the time, so it says when that was so. */

import { get } from "../wire/api.js";
import { h } from "./elements.js";
import { Refresher } from "./refresher.js";
import { span } from "./times.js";

/** @typedef {{limit: number, used?: number, left?: number, per_minute?: number, frees_in_seconds?: number | null}} Standing */

const HEADS = ["Quota", "Used", "Of", "A minute", "Free again"];

/**
 * @param {string} name the agent's
 * @returns {{element: HTMLElement, refresher: Refresher}}
 */
export function quotasView(name) {
  const rows = h("tbody", {});
  const table = h("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Table of quotas" }, h("table", {}, h("thead", {}, h("tr", {}, ...HEADS.map((text) => h("th", { scope: "col" }, text)))), rows));
  const refresher = new Refresher(table, async () => {
    const { quotas } = /** @type {{quotas: Record<string, Standing>}} */ (await get(`/api/agents/${encodeURIComponent(name)}/quotas`));
    rows.replaceChildren(...Object.entries(quotas).map(([quota, standing]) => row(quota, standing)));
  });
  return { element: h("div", {}, table, refresher.element), refresher };
}

/**
 * @param {string} quota
 * @param {Standing} standing
 * @returns {HTMLElement}
 */
function row(quota, { limit, used, left, per_minute: rate, frees_in_seconds: frees }) {
  const isUsedUp = left !== undefined && left < 1;
  const cells = [
    used === undefined ? "" : used.toLocaleString("en"),
    limit.toLocaleString("en"),
    rate === undefined ? "" : rate.toLocaleString("en"),
    isUsedUp ? (frees === null || frees === undefined ? "when one is over" : `in ${span(Math.max(1, frees))}`) : "",
  ];
  return h("tr", { class: isUsedUp ? "is-used-up" : "" }, h("th", { scope: "row" }, quota.replaceAll("_", " ")), ...cells.map((text) => h("td", {}, text)));
}
