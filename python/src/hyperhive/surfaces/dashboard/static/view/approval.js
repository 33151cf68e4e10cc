/**
 * One approval: who asks, for what, why, exactly what would happen, and yes or no.
 *
 * What is approved is what was fetched and is shown: its digest goes back with the yes. If the
 * hive's digest is another by then, it refuses, and what there is now is fetched again.
 */

import { get } from "../wire/api.js";
import { actionButton, ask } from "./actions.js";
import { h, say } from "./elements.js";
import { shownView } from "./shown.js";
import { showLeft, showMoment, showSince, wholeMoment } from "./times.js";
import { agentLink, chip, showChip } from "./words.js";

/** @typedef {import("../types.js").Approval} Approval */
/** @typedef {import("../types.js").WholeApproval} WholeApproval */

/**
 * @param {Approval} first
 * @param {import("../state/store.js").Store} store
 * @returns {import("./elements.js").Item<Approval>}
 */
export function approvalItem(first, store) {
  const path = `/api/approvals/${first.id}`;
  /** @type {WholeApproval | null} */
  let whole = null;
  let latest = first;
  const state = chip();
  const since = h("time", { class: "since" });
  const left = h("time", { class: "left" });
  const title = h("h3", {});
  const who = h("p", { class: "who" });
  const content = h("div", { class: "content" }, h("p", { class: "quiet" }, "Loading what is asked for…"));
  const trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  const outcome = h("p", { class: "outcome" });
  const note = h("input", { id: `note-${first.id}`, maxlength: 2000, autocomplete: "off", placeholder: "Why not (it is told)" });
  const approve = actionButton({
    label: "Approve",
    primary: true,
    run: async () => {
      if (!whole) throw new Error("What is asked for has not been loaded yet: wait a moment.");
      try {
        await ask(store, `${path}/approve`, { digest: whole.digest });
      } catch (error) {
        await load();
        throw error;
      }
    },
  });
  const deny = actionButton({ label: "Deny", run: () => ask(store, `${path}/deny`, { note: note.value }) });
  const cancel = actionButton({
    label: "Withdraw",
    confirm: "Withdraw it",
    warning: () => `${latest.requester} is told that “${latest.title.slice(0, 80)}” was withdrawn.`,
    run: () => ask(store, `${path}/cancel`),
  });
  const decide = h(
    "div",
    { class: "decide" },
    approve.element,
    h("div", { class: "deny" }, h("label", { class: "unseen", for: note.id }, `Note to ${first.requester}`), note, deny.element),
    cancel.element,
  );

  async function load() {
    try {
      whole = await get(path);
      if (whole) content.replaceChildren(shownView(whole.shown, whole.digest));
      say(trouble, null);
    } catch (error) {
      say(trouble, error instanceof Error ? error.message : String(error));
    }
  }

  void load();
  const element = h(
    "li",
    {},
    h(
      "article",
      { class: "decision", "aria-label": `Approval ${first.id}`, "data-approval": first.id },
      h("header", {}, state, h("span", { class: "tag" }, first.kind.replaceAll("_", " ")), title, h("span", { class: "now" }, left, since)),
      who,
      content,
      trouble,
      outcome,
      decide,
    ),
  );
  return {
    element,
    update(approval) {
      if (whole && approval.digest !== whole.digest) void load();
      latest = approval;
      showChip(state, approval.state);
      title.textContent = approval.title;
      showSince(since, approval.closed_at ?? approval.at);
      showLeft(left, approval.state === "pending" ? approval.expires_at : null);
      const about = approval.agent && approval.agent !== approval.requester;
      who.replaceChildren(
        agentLink(approval.requester),
        " asks",
        ...(about ? [", about ", agentLink(approval.agent ?? "")] : []),
        ` · approval ${approval.id}`,
      );
      decide.hidden = approval.state !== "pending";
      say(outcome, outcomeOf(approval));
    },
  };
}

/**
 * @param {Approval} approval
 * @returns {import("./elements.js").Item<Approval>} one that is over: a row that opens
 */
export function decidedApproval(approval) {
  const state = chip();
  const time = h("time", { class: "at" });
  const title = h("span", { class: "text" });
  const note = h("p", { class: "outcome" });
  const inside = h("div", { class: "inside" }, note);
  let loaded = false;
  const element = h(
    "li",
    {},
    h(
      "details",
      { class: "decided", "data-approval": approval.id, toggle: open },
      h("summary", {}, time, state, h("span", { class: "tag" }, approval.kind.replaceAll("_", " ")), agentName(approval.requester), title),
      inside,
    ),
  );

  /** @param {Event} event */
  async function open(event) {
    if (loaded || !(event.target instanceof HTMLDetailsElement) || !event.target.matches(".decided") || !event.target.open) return;
    loaded = true;
    try {
      const whole = await get(`/api/approvals/${approval.id}`);
      inside.append(shownView(whole.shown, whole.digest));
    } catch (error) {
      loaded = false;
      inside.append(h("p", { class: "refusal", role: "alert" }, error instanceof Error ? error.message : String(error)));
    }
  }

  return {
    element,
    update(value) {
      showMoment(time, value.closed_at);
      showChip(state, value.state);
      title.textContent = value.title;
      say(note, outcomeOf(value));
    },
  };
}

/**
 * @param {string} name
 * @returns {HTMLElement}
 */
function agentName(name) {
  return h("span", { class: "name" }, name);
}

/**
 * @param {Approval} approval
 * @returns {string | null}
 */
function outcomeOf({ state, decided_by: by, note, error, result, used_at: used }) {
  const decided = by && (state === "denied" ? `denied by ${by}` : `approved by ${by}`);
  const told = result && Object.keys(result).length > 0 ? `result: ${JSON.stringify(result)}` : null;
  const once = used && `used ${wholeMoment(used)}`;
  return [decided, once, note && `note: ${note}`, error && `error: ${error}`, told].filter(Boolean).join(" · ") || null;
}
