/**
 * What a spawned agent was brought to, newest first, each with the way back to it.
 *
 * It is fetched when it is opened, and while it is open whenever the agent is brought to something.
 */

import { get } from "../wire/api.js";
import { actionButton, ask } from "./actions.js";
import { h, KeyedList, say } from "./elements.js";
import { showMoment } from "./times.js";

/** @typedef {import("../types.js").Deployment} Deployment */

/**
 * @param {string} name the agent's
 * @param {import("../state/store.js").Store} store
 * @returns {{element: HTMLDetailsElement, heard: (event: import("../types.js").HiveEvent) => void}}
 */
export function deploymentsPanel(name, store) {
  const path = `/api/agents/${encodeURIComponent(name)}`;
  const rows = h("ol", { class: "decision-rows" });
  const none = h("p", { class: "quiet", hidden: true });
  const trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  const failed = h("p", { class: "refusal failed", role: "alert", hidden: true });
  let asked = 0;
  /** @type {KeyedList<Deployment & {runs: boolean}>} */
  const list = new KeyedList(rows, (first) => {
    const time = h("time", { class: "at" });
    const now = h("span", { class: "tag" }, "runs now");
    const again = actionButton({
      label: "Deploy again",
      confirm: "Deploy it",
      warning: () => `What ${name} runs now is replaced by ${first.commit.slice(0, 12)}; a running turn may end first.`,
      run: () => ask(store, `${path}/redeploy`, { revision: first.commit }),
      again: true,
      done: `It is tried now, and deployed once ${name} is ready with it.`,
    });
    showMoment(time, first.at);
    return {
      element: h("li", { class: "thread", "data-commit": first.commit }, time, h("code", {}, first.commit.slice(0, 12)), h("span", { class: "text" }, first.subject), h("span", { class: "quiet" }, first.tags.join(", ")), now, again.element),
      update: ({ runs }) => {
        if (!now.hidden !== runs) again.reset();
        now.hidden = !runs;
        again.element.hidden = runs;
      },
    };
  });

  async function load() {
    const mine = ++asked;
    try {
      const { deployments } = /** @type {{deployments: Deployment[]}} */ (await get(`${path}/deployments`));
      if (mine !== asked) return;
      list.show(new Map(deployments.map((each, index) => [each.commit, { ...each, runs: index === 0 }])));
      say(none, deployments.length === 0 ? "Nothing was deployed to it yet." : null);
      say(trouble, null);
    } catch (error) {
      say(trouble, error instanceof Error ? error.message : String(error));
    }
  }

  function open() {
    if (element.open) void load();
  }

  /** @param {import("../types.js").HiveEvent} event */
  function heard({ kind, agent, data }) {
    if (kind === "agent_changed" && agent === name) open();
    if (data.key !== `deploy:${name}`) return;
    if (kind === "alert_raised") say(failed, data.text);
    if (kind === "alert_cleared") say(failed, null);
  }

  const element = h("details", { class: "decided log deployments", toggle: open }, h("summary", {}, "What was deployed to it"), h("div", { class: "inside" }, failed, trouble, none, rows));
  return { element, heard };
}
