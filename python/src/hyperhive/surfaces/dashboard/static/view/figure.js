/**
 * A chart of bars over time, stacked by agent, drawn by hand as SVG, with the same numbers as a table.
 */

import { h } from "./elements.js";
import { hueOf } from "./words.js";

/** @typedef {{since: number, step: number, show: (value: number) => string}} Scale when the first span begins, and how long each is, in seconds */

const SPACE = "http://www.w3.org/2000/svg";
const WIDTH = 480;
const HEIGHT = 96;

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...Node} children
 * @returns {SVGElement}
 */
function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/**
 * @param {string} title
 * @param {Map<string, readonly number[]>} series by agent, each with a value for every span
 * @param {Scale} scale
 * @param {Set<string>} open titles of those whose numbers are open
 * @returns {HTMLElement}
 */
export function figure(title, series, scale, open) {
  const { show } = scale;
  const spans = Math.max(0, ...[...series.values()].map((values) => values.length));
  const sums = Array.from({ length: spans }, (_, span) => [...series.values()].reduce((sum, values) => sum + (values[span] ?? 0), 0));
  const most = Math.max(...sums, 0);
  const whole = sums.reduce((sum, value) => sum + value, 0);
  const peak = sums.indexOf(most);
  const told = whole > 0 ? `${show(whole)} in all; at most ${show(most)} at once, about ${moment(scale, peak + 0.5)}` : "none in this time";
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${told}`, preserveAspectRatio: "none" });
  const width = WIDTH / Math.max(1, spans);
  const heights = new Array(spans).fill(0);
  series.forEach((values, name) => {
    values.forEach((value, span) => {
      if (!(value > 0)) return;
      const height = (value / most) * (HEIGHT - 2);
      heights[span] += height;
      picture.append(svg("rect", { x: span * width + 0.5, y: HEIGHT - heights[span], width: Math.max(1, width - 1), height, class: `bar bar-${hueOf(name)}` }));
    });
  });
  picture.append(svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5, class: "axis" }));
  const table = h("div", { class: "table", tabindex: "0", role: "group", "aria-label": `Table of ${title.toLowerCase()}` });
  /** @param {Event} event */
  const toggle = ({ target }) => {
    if (!(target instanceof HTMLDetailsElement)) return;
    if (target.open) open.add(title);
    else open.delete(title);
    if (target.open && table.childElementCount === 0) table.append(numbers(series, scale, sums));
  };
  return h(
    "figure",
    { class: "figure" },
    h("figcaption", {}, h("b", {}, title), h("span", { class: "quiet" }, ` ${told}`)),
    /** @type {any} */ (picture),
    whole > 0 && h("details", { open: open.has(title), toggle }, h("summary", {}, "The numbers"), table),
  );
}

/**
 * @param {Map<string, readonly number[]>} series
 * @param {Scale} scale
 * @param {readonly number[]} sums of each span
 * @returns {HTMLElement} what each agent had in all, and in each span in which there was something, the last first
 */
function numbers(series, scale, sums) {
  const heads = [...series.keys()].map((name) => h("th", { scope: "col" }, h("span", { class: `swatch bar-${hueOf(name)}`, "aria-hidden": "true" }), name));
  const row = (/** @type {string} */ head, /** @type {(values: readonly number[]) => number} */ of) =>
    h("tr", {}, h("th", { scope: "row" }, head), ...[...series.values()].map((values) => h("td", {}, scale.show(of(values)))));
  const rows = sums.flatMap((sum, span) => (sum > 0 ? [row(moment(scale, span), (values) => values[span] ?? 0)] : []));
  const all = row("in all", (values) => values.reduce((whole, value) => whole + value, 0));
  return h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "From"), ...heads)), h("tbody", {}, all, ...rows.reverse()));
}

/**
 * @param {Scale} scale
 * @param {number} spans
 * @returns {string} the time so many spans after the first began
 */
function moment({ since, step }, spans) {
  return new Date((since + spans * step) * 1000).toLocaleString("en-GB", { dateStyle: "short", timeStyle: "short" });
}
