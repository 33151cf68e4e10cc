/** What a spawned agent was brought to, newest first, each with the way back to it; fetched when it is opened. */

import { get } from "../wire/api.js";
import { actionButton, ask } from "./actions.js";
import { h, KeyedList, say } from "./elements.js";
import { showMoment } from "./times.js";

/** @typedef {import("../types.js").Deployment} Deployment */

/**
 * @param {string} name the agent's
 * @param {import("../state/store.js").Store} store
 * @returns {HTMLElement}
 */
export function deploymentsPanel(name, store) {
  const path = `/api/agents/${encodeURIComponent(name)}`;
  const rows = h("ol", { class: "decision-rows" });
  const none = h("p", { class: "quiet", hidden: true });
  const trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  /** @type {KeyedList<Deployment & {runs: boolean}>} */
  const list = new KeyedList(rows, (first) => {
    const time = h("time", { class: "at" });
    const now = h("span", { class: "tag" }, "runs now");
    const again = actionButton({
      label: "Deploy again",
      confirm: "Deploy it",
      warning: () => `What ${name} runs now is replaced by ${first.commit.slice(0, 12)}; a running turn may end first.`,
      run: async () => {
        await ask(store, `${path}/redeploy`, { revision: first.commit });
        await load();
      },
    });
    showMoment(time, first.at);
    return {
      element: h("li", { class: "thread", "data-commit": first.commit }, time, h("code", {}, first.commit.slice(0, 12)), h("span", { class: "text" }, first.subject), h("span", { class: "quiet" }, first.tags.join(", ")), now, again.element),
      update: ({ runs }) => {
        now.hidden = !runs;
        again.element.hidden = runs;
      },
    };
  });

  async function load() {
    try {
      const { deployments } = /** @type {{deployments: Deployment[]}} */ (await get(`${path}/deployments`));
      list.show(new Map(deployments.map((each, index) => [each.commit, { ...each, runs: index === 0 }])));
      say(none, deployments.length === 0 ? "Nothing was deployed to it yet." : null);
      say(trouble, null);
    } catch (error) {
      say(trouble, error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {Event} event */
  function open(event) {
    if (event.target instanceof HTMLDetailsElement && event.target.open) void load();
  }

  return h("details", { class: "decided log deployments", toggle: open }, h("summary", {}, "What was deployed to it"), h("div", { class: "inside" }, trouble, none, rows));
}
