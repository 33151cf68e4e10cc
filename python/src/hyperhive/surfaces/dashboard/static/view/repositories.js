/** What the forge holds: repositories as the hive last saw them, and the accounts that it keeps there. */

import { get, post, Refusal } from "../wire/api.js";
import { actionButton, ask } from "./actions.js";
import { h, KeyedList, say } from "./elements.js";
import { showSince } from "./times.js";
import { agentLink, counted, nameTag, webLink } from "./words.js";

/** @typedef {import("../types.js").Repository} Repository */

/**
 * Ask for a list whenever it may have changed; only the answer to the last question counts, however late another one comes.
 *
 * @template T
 * @param {string} path
 * @returns {() => Promise<T | null>} the list, or nothing when it was asked for again meanwhile
 */
function newest(path) {
  let asked = 0;
  return async () => {
    const mine = ++asked;
    const answer = /** @type {T} */ (await get(path));
    return mine === asked ? answer : null;
  };
}

/** @returns {{element: HTMLElement, load: () => Promise<void>}} */
export function repositoriesPanel() {
  /** @type {() => Promise<{repositories: Repository[]} | null>} */
  const listed = newest("/api/forge/repositories");
  const count = h("span", { class: "total" });
  const none = h("p", { class: "quiet", hidden: true });
  const trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  const rows = h("ol", { class: "decision-rows repositories" });
  /** @type {KeyedList<Repository>} */
  const list = new KeyedList(rows, repositoryItem);
  const element = h("section", { class: "panel", "aria-labelledby": "repositories-title", hidden: true }, h("h2", { id: "repositories-title" }, "Repositories ", count), trouble, none, rows);
  return {
    element,
    async load() {
      try {
        const answer = await listed();
        if (answer === null) return;
        const { repositories } = answer;
        list.show(new Map(repositories.map((each) => [each.name, each])));
        count.textContent = repositories.length > 0 ? String(repositories.length) : "";
        say(none, repositories.length === 0 ? "No repository yet. Those of the hive's organisations appear here." : null);
        say(trouble, null);
        element.hidden = false;
      } catch (error) {
        // A server that knows none has no such list.
        element.hidden = error instanceof Refusal && error.status === 404;
        say(trouble, error instanceof Error ? error.message : String(error));
      }
    },
  };
}

/** @returns {import("./elements.js").Item<Repository>} */
function repositoryItem() {
  const name = h("h3", {});
  const since = h("time", { class: "since" });
  const facts = h("p", { class: "who" });
  const clone = h("code", { class: "clone", tabindex: "0" });
  const element = h("li", {}, h("article", { class: "decision" }, h("header", {}, name, h("span", { class: "now" }, since)), facts, clone));
  return {
    element,
    update({ name: full, description, url, clone_url: address, branch, empty, open_pulls: pulls, updated_at: at }) {
      name.replaceChildren(webLink(url, full));
      showSince(since, at);
      const known = [description, empty ? "empty" : `branch ${branch}`, pulls > 0 && `${counted(pulls, "pull request")} open`];
      say(facts, known.filter(Boolean).join(" · "));
      say(clone, `git clone ${address}`);
    },
  };
}

/**
 * @param {import("../state/store.js").Store} store
 * @returns {{element: HTMLElement, load: () => Promise<void>}}
 */
export function accountsPanel(store) {
  /** @type {() => Promise<{accounts: string[]} | null>} */
  const listed = newest("/api/forge");
  const trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  const rows = h("ul", { class: "decision-rows" });
  /** @type {KeyedList<string>} */
  const list = new KeyedList(rows, (name) => {
    const rotate = actionButton({
      label: "New token",
      confirm: "Make it anew",
      again: true,
      done: "It has a new token.",
      warning: () => `The token that ${name} has is void at once; programs that hold it are refused until they read the new one.`,
      run: () => ask(store, `/api/forge/accounts/${encodeURIComponent(name)}/rotate`),
    });
    const shown = store.state.agents.has(name) ? agentLink(name) : nameTag(name);
    return { element: h("li", { class: "thread", "data-account": name }, shown, rotate.element), update: () => {} };
  });
  const given = h("p", { class: "done", role: "status", hidden: true });
  const password = actionButton({
    label: "New password for you",
    confirm: "Make it anew",
    again: true,
    warning: () => "The password with which you log in to the forge's own pages is void at once; the new one is shown here, once.",
    run: async () => {
      const { account, password: secret } = await post("/api/forge/password");
      given.replaceChildren("Log in as ", h("b", {}, account), " with ", h("code", { tabindex: "0" }, secret), ". It is kept nowhere.");
      given.hidden = false;
    },
  });
  const element = h("section", { class: "panel", "aria-labelledby": "accounts-title", hidden: true }, h("h2", { id: "accounts-title" }, "Accounts"), trouble, rows, password.element, given);
  return {
    element,
    async load() {
      try {
        const answer = await listed();
        if (answer === null) return;
        const { accounts } = answer;
        list.show(new Map(accounts.map((name) => [name, name])));
        element.hidden = accounts.length === 0;
        say(trouble, null);
      } catch (error) {
        element.hidden = false;
        say(trouble, error instanceof Error ? error.message : String(error));
      }
    },
  };
}
