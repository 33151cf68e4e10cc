/** Cost, tokens, turns and messages over time, of the hive or of one agent, for a choice of times. */

import { get } from "../wire/api.js";
import { h } from "./elements.js";
import { figure } from "./figure.js";
import { Refresher } from "./refresher.js";
import { priced } from "./words.js";

/** @type {readonly (readonly [string, string, (value: number) => string])[]} */
const KINDS = [
  ["cost_usd", "Cost", priced],
  ["tokens", "Tokens", whole],
  ["turns", "Turns", whole],
  ["messages", "Messages sent", whole],
];
const TIMES = [
  ["24", "a day"],
  ["168", "a week"],
  ["720", "30 days"],
];

/**
 * @param {number} value
 * @returns {string}
 */
function whole(value) {
  return Math.round(value).toLocaleString("en");
}

/**
 * @param {string | null} agent
 * @param {string} place
 * @returns {{element: HTMLElement, refresher: Refresher}}
 */
export function figures(agent, place) {
  const time = h("select", { id: `${place}-time` }, ...TIMES.map(([value, label]) => h("option", { value: value ?? "" }, label ?? "")));
  const pictures = h("div", { class: "figures" });
  /** @type {Set<string>} titles of those whose numbers are open */
  const open = new Set();
  const refresher = new Refresher(pictures, async () => {
    const about = agent === null ? "" : `&agent=${encodeURIComponent(agent)}`;
    const { since, step_seconds: step, agents } = await get(`/api/figures?hours=${time.value}${about}`);
    const names = Object.keys(agents).sort();
    const drawn = KINDS.map(([key, title, show]) => figure(title, new Map(names.map((name) => [name, agents[name][key]])), { since, step, show }, open));
    pictures.replaceChildren(...drawn);
  });
  time.addEventListener("change", () => refresher.again());
  const element = h("div", {}, h("p", { class: "filters" }, h("label", { for: time.id }, "Over"), time), pictures, refresher.element);
  return { element, refresher };
}
