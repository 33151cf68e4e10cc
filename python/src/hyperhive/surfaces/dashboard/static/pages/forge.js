/** The page of the forge: how it is, pull requests (open ones first), repositories and accounts. */

import { h, KeyedList, say } from "../view/elements.js";
import { accountsPanel, repositoriesPanel } from "../view/repositories.js";
import { showSince } from "../view/times.js";
import { agentLink, chip, showChip, webLink } from "../view/words.js";

/** @typedef {import("../types.js").PullRequest} PullRequest */

/**
 * @param {import("../state/store.js").Store} store
 * @returns {import("../router.js").Page}
 */
export function openForgePage(store) {
  const none = h("p", { class: "quiet" }, "This hive has no forge. Declare one, and repositories and pull requests appear here.");
  const facts = h("p", { class: "who" });
  const state = chip();
  const address = h("span", {});
  const reason = h("p", { class: "refusal", hidden: true });
  const count = h("span", { class: "total" });
  const empty = h("p", { class: "quiet" }, "No pull request yet.");
  const rows = h("ol", { class: "decision-rows" });
  const repositories = repositoriesPanel();
  const accounts = accountsPanel(store);
  facts.append(state, " ", address);
  const element = h(
    "div",
    { class: "page", id: "forge" },
    h(
      "section",
      { class: "panel", "aria-labelledby": "forge-title" },
      h("h2", { id: "forge-title", tabindex: "-1" }, "Forge"),
      none,
      facts,
      reason,
    ),
    h("section", { class: "panel", "aria-labelledby": "pulls-title" }, h("h2", { id: "pulls-title" }, "Pull requests ", count), empty, rows),
    repositories.element,
    accounts.element,
  );
  let isHere = false;

  function load() {
    if (!isHere || store.state.forge === null) return;
    void repositories.load();
    void accounts.load();
  }

  store.hear(({ kind }) => {
    if (kind === "forge_repositories_changed") load();
  });
  store.heedRenewal(load);
  /** @type {KeyedList<PullRequest>} */
  const list = new KeyedList(rows, () => pullItem(store));
  /** @type {import("../types.js").State["forge"] | undefined} */
  let shown;
  store.show(({ forge }) => {
    if (forge === shown) return;
    const hasCome = !shown;
    shown = forge;
    if (hasCome) load();
    none.hidden = forge !== null;
    facts.hidden = forge === null;
    const pulls = [...(forge?.pulls.values() ?? [])];
    const open = pulls.filter((pull) => pull.state === "open").length;
    count.textContent = open > 0 ? `${open} open` : "";
    empty.hidden = pulls.length > 0;
    pulls.sort((a, b) => Number(b.state === "open") - Number(a.state === "open") || b.updated_at - a.updated_at);
    list.show(new Map(pulls.map((pull) => [pull.id, pull])));
    if (!forge) return;
    const { facts: known } = forge;
    showChip(state, String(known["state"] ?? "unknown"));
    address.replaceChildren(String(known["kind"] ?? ""), " ", webLink(known["url"], String(known["url"] ?? "")));
    say(reason, known["reason"] ?? null);
  });
  return {
    element,
    enter() {
      isHere = true;
      load();
      return "Forge";
    },
    leave: () => {
      isHere = false;
    },
  };
}

/**
 * @param {import("../state/store.js").Store} store
 * @returns {import("../view/elements.js").Item<PullRequest>}
 */
function pullItem(store) {
  const state = chip();
  const since = h("time", { class: "since" });
  const title = h("h3", {});
  const who = h("p", { class: "who" });
  const element = h("li", {}, h("article", { class: "decision" }, h("header", {}, state, title, h("span", { class: "now" }, since)), who));
  /** @param {string} name */
  const person = (name) => (store.state.agents.has(name) ? agentLink(name) : h("span", { class: "name" }, name));
  return {
    element,
    update(pull) {
      showChip(state, pull.state);
      title.replaceChildren(webLink(pull.url, `${pull.repository}#${pull.number} ${pull.title}`));
      showSince(since, pull.updated_at);
      who.replaceChildren(
        "by ",
        person(pull.author),
        ...pull.reviewers.flatMap((each, index) => [index === 0 ? " · to be reviewed by " : ", ", person(each)]),
        ...(pull.merged_by ? [" · merged by ", person(pull.merged_by)] : []),
      );
    },
  };
}
