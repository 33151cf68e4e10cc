/** What the hive is doing to its agents just now, and why; there while there is something. */

import { h, KeyedList, part } from "./elements.js";
import { nameTag } from "./words.js";

/** @typedef {import("../types.js").PlannedAction} PlannedAction */

/** @param {import("../state/store.js").Store} store */
export function showPlan(store) {
  const section = part("plan", HTMLElement);
  /** @type {KeyedList<PlannedAction>} */
  const list = new KeyedList(part("plan-rows", HTMLUListElement), ({ agent }) => {
    const verb = h("span", {});
    const reason = h("span", { class: "quiet" });
    return {
      element: h("li", {}, verb, " ", nameTag(agent), " ", reason),
      update(action) {
        verb.textContent = action.action;
        reason.textContent = `· ${action.reason}`;
      },
    };
  });
  /** @type {unknown} */
  let shown = null;
  store.show(({ plan }) => {
    if (plan === shown) return;
    shown = plan;
    section.hidden = plan.length === 0;
    list.show(new Map(plan.map((action) => [action.agent, action])));
  });
}
