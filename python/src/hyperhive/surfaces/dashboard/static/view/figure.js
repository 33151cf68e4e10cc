/**
 * A chart of bars over time, stacked by agent, drawn by hand as SVG, with the same numbers as a table.
 */

import { h } from "./elements.js";
import { hueOf } from "./words.js";

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
 * @param {{since: number, step: number, show: (value: number) => string}} scale
 * @returns {HTMLElement}
 */
export function figure(title, series, { since, step, show }) {
  const spans = Math.max(0, ...[...series.values()].map((values) => values.length));
  const sums = Array.from({ length: spans }, (_, span) => [...series.values()].reduce((sum, values) => sum + (values[span] ?? 0), 0));
  const most = Math.max(...sums, 0);
  const whole = sums.reduce((sum, value) => sum + value, 0);
  const peak = sums.indexOf(most);
  const when = new Date((since + (peak + 0.5) * step) * 1000).toLocaleString("en-GB", { dateStyle: "short", timeStyle: "short" });
  const told = whole > 0 ? `${show(whole)} in all; at most ${show(most)} at once, about ${when}` : "none in this time";
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
  const rows = [...series].map(([name, values]) => {
    const sum = values.reduce((all, value) => all + value, 0);
    return h("tr", {}, h("th", { scope: "row" }, h("span", { class: `swatch bar-${hueOf(name)}`, "aria-hidden": "true" }), name), h("td", {}, show(sum)));
  });
  return h(
    "figure",
    { class: "figure" },
    h("figcaption", {}, h("b", {}, title), h("span", { class: "quiet" }, ` ${told}`)),
    /** @type {any} */ (picture),
    h("details", {}, h("summary", {}, "By agent"), h("table", {}, h("tbody", {}, ...rows))),
  );
}
