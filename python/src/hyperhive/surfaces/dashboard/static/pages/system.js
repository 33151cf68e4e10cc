/** The page of the system: health and version, room on the disk, queues, figures, limits, plan, audit log. */

import { actionButton, ask } from "../view/actions.js";
import { h, KeyedList, say } from "../view/elements.js";
import { figures } from "../view/figures.js";
import { panel, wide } from "../view/panel.js";
import { Refresher } from "../view/refresher.js";
import { showMoment, span } from "../view/times.js";
import { priced, sized } from "../view/words.js";
import { get, post, toLogin } from "../wire/api.js";

/** @typedef {{id: number, at: number, actor: string, via: string, verb: string, subject: string, digest: string | null, detail: any}} Entry */
/** @typedef {{label: string, value: number, text: string, of?: number}} Bar what it is a part of, if not of the largest */

const AUDIT_PAGE = 50;
/** What changes the plan, or the room that agents take. */
const OUTDATES = new Set(["plan_changed", "agent_measured", "agent_added", "agent_removed", "hive_started", "hive_changed"]);

/**
 * @param {import("../state/store.js").Store} store
 * @returns {import("../router.js").Page}
 */
export function openSystemPage(store) {
  const tiles = h("dl", { class: "tiles" });
  const health = tile("Health");
  const version = tile("Hive");
  const count = tile("Agents");
  const spent = tile("Spent today");
  const position = tile("Position");
  tiles.append(...[version, health, count, spent, position].map(({ element: each }) => each));
  const disk = bars("Room");
  const queues = bars("What waits in each inbox");
  const pictures = figures(null, "system");
  const plan = h("div", {});
  const apply = actionButton({
    label: "Read the declaration anew",
    again: true,
    done: "What differs is being carried out.",
    run: async () => {
      await ask(store, "/api/apply");
      refresher.outdate();
      await loadAudit(false);
    },
  });
  const auditRows = h("tbody", {});
  const auditTrouble = h("p", { class: "refusal", role: "alert", hidden: true });
  const older = h("button", { type: "button", class: "button", hidden: true, click: () => loadAudit(true) }, "Earlier");
  /** @type {Map<number, Entry>} */
  let entries = new Map();
  /** @type {KeyedList<Entry>} */
  const audit = new KeyedList(auditRows, auditRow);
  const heading = h("h2", { id: "system-title", tabindex: "-1" }, "System");
  const refresher = new Refresher(tiles, load);
  const element = h(
    "div",
    { class: "page in-columns", id: "system" },
    h("section", { class: "panel is-wide", "aria-labelledby": heading.id }, heading, tiles, refresher.element),
    panel("disk-title", "Disk", disk.element),
    panel("queues-title", "Queues", queues.element),
    wide(panel("figures-title-system", "What the hive used", pictures.element)),
    panel("plan-title", "Plan", plan, apply.element),
    panel("upkeep-title", "Upkeep", upkeep(store)),
    wide(panel(
      "audit-title",
      "Audit log",
      auditTrouble,
      h(
        "div",
        { class: "table", tabindex: "0", role: "group", "aria-label": "Table of the audit log" },
        h("table", {}, h("thead", {}, h("tr", {}, ...["When", "Who", "Did", "To", "By way of", "Digest"].map((text) => h("th", { scope: "col" }, text)))), auditRows),
      ),
      older,
    )),
  );

  /** Fetch what no event tells. */
  async function load() {
    const [found, room, planned] = await Promise.all([get("/api/health"), get("/api/disk"), get("/api/plan").catch((error) => ({ refused: error.message }))]);
    health.show(found.status, `up for ${span(found.uptime_seconds)}`);
    disk.show(roomBars(room));
    plan.replaceChildren(planView(planned));
  }

  /** @param {boolean} more */
  async function loadAudit(more) {
    try {
      const before = more ? `&before=${Math.min(...entries.keys())}` : "";
      const page = await get(`/api/audit?limit=${AUDIT_PAGE}${before}`);
      if (!more) entries = new Map();
      for (const entry of page.entries) entries.set(entry.id, entry);
      audit.show(entries);
      older.hidden = !page.more;
      say(auditTrouble, null);
    } catch (error) {
      say(auditTrouble, error instanceof Error ? error.message : String(error));
    }
  }

  /** @type {unknown} */
  let shown = null;
  function draw() {
    if (element.hidden) return;
    refresher.look();
    pictures.refresher.look();
    const { agents, hive, seq } = store.state;
    const perDay = hive.limits.spend_per_day_usd;
    version.show(hive.name, `version ${hive.version}`);
    count.show(agents.size.toLocaleString("en"), `of at most ${hive.limits.agents.toLocaleString("en")}`);
    spent.show(priced(hive.spent_today_usd), perDay === null ? "no limit a day" : `of at most ${priced(perDay)}`);
    position.show(seq.toLocaleString("en"), "the last event");
    if (agents === shown) return;
    shown = agents;
    const waiting = [...agents.values()].map(({ name, inbox }) => {
      const value = inbox.queued + inbox.leased + inbox.dead;
      return { label: name, value, text: `${inbox.queued} queued, ${inbox.leased} leased, ${inbox.dead} dead` };
    });
    queues.show(waiting.sort((a, b) => b.value - a.value || (a.label < b.label ? -1 : 1)));
  }
  store.show(draw);
  store.hear(({ kind }) => {
    if (OUTDATES.has(kind)) refresher.outdate();
    if (kind === "turn_ended") pictures.refresher.outdate();
  });
  return {
    element,
    enter() {
      refresher.outdate();
      pictures.refresher.outdate();
      void loadAudit(false);
      draw();
      return "System";
    },
  };
}

/**
 * A fact that is read at a glance.
 *
 * @param {string} name
 */
function tile(name) {
  const value = h("b", {});
  const more = h("span", { class: "quiet" });
  return {
    element: h("div", {}, h("dt", {}, name), h("dd", {}, value, " ", more)),
    /**
     * @param {string} told
     * @param {string} beside
     */
    show(told, beside) {
      say(value, told);
      say(more, beside);
    },
  };
}

/**
 * @param {import("../state/store.js").Store} store
 * @returns {HTMLElement} what is done to the hive now and then
 */
function upkeep(store) {
  const copied = h("p", { class: "done", role: "status", hidden: true });
  const backup = actionButton({
    label: "Back up now",
    again: true,
    run: async () => {
      const { path, bytes } = await post("/api/backup");
      say(copied, `${path} (${sized(bytes)})`);
    },
  });
  const inputs = actionButton({
    label: "Update inputs",
    again: true,
    done: "Asked for. Read what would change under Decisions, and approve it.",
    run: () => ask(store, "/api/hive/update-inputs"),
  });
  const leave = actionButton({
    label: "Log out",
    run: async () => {
      await post("/logout");
      toLogin();
    },
  });
  const rows = [
    [backup.element, "A copy of the database, made while the hive runs.", copied],
    [inputs.element, "Newer inputs for the systems of spawned agents; nothing happens without your yes.", null],
    [leave.element, "Ends this browser's session.", null],
  ];
  return h("ul", { class: "upkeep" }, ...rows.map(([action, what, more]) => h("li", {}, action, h("span", { class: "quiet" }, what), more)));
}

/**
 * @param {{total: number | null, free: number | null, agents: Record<string, number>}} room
 * @returns {Bar[]}
 */
function roomBars({ total, free, agents }) {
  const used = total !== null && free !== null ? [{ label: "disk", value: total - free, of: total, text: `${sized(free)} free of ${sized(total)}` }] : [];
  const each = Object.entries(agents).sort(([, a], [, b]) => b - a).map(([label, value]) => ({ label, value, text: sized(value) }));
  return [...used, ...each];
}

/**
 * Bars beside each other; each says its number in words, so that the picture is not needed.
 *
 * @param {string} label
 */
function bars(label) {
  const rows = h("ul", { class: "bars", "aria-label": label });
  /** @type {KeyedList<Bar & {most: number}>} */
  const list = new KeyedList(rows, ({ label: name }) => {
    const bar = h("meter", { min: 0, "aria-hidden": "true" });
    const text = h("span", { class: "quiet" });
    return {
      element: h("li", {}, h("span", { class: "name" }, name), bar, text),
      update: ({ value, most, text: told }) => {
        bar.max = Math.max(1, most);
        bar.value = value;
        if (text.textContent !== told) text.textContent = told;
      },
    };
  });
  return {
    element: rows,
    /** @param {Bar[]} values */
    show(values) {
      const most = Math.max(0, ...values.map(({ value, of }) => (of === undefined ? value : 0)));
      list.show(new Map(values.map((bar) => [bar.label, { ...bar, most: bar.of ?? most }])));
    },
  };
}

/**
 * @param {any} planned
 * @returns {HTMLElement}
 */
function planView(planned) {
  if (planned.refused) return h("p", { class: "quiet" }, planned.refused);
  const actions = planned.actions ?? [];
  const warnings = planned.warnings ?? [];
  if (actions.length + warnings.length === 0) return h("p", { class: "quiet" }, "Nothing to do: what runs is what is declared.");
  return h(
    "ul",
    { class: "values" },
    ...actions.map((/** @type {any} */ each) => h("li", {}, `${each.action} ${each.agent}: ${each.reason}`)),
    ...warnings.map((/** @type {any} */ each) => h("li", { class: "quiet" }, typeof each === "string" ? each : JSON.stringify(each))),
  );
}

/**
 * @param {Entry} entry
 * @returns {import("../view/elements.js").Item<Entry>}
 */
function auditRow({ at, actor, verb, subject, via, digest }) {
  const time = h("time", {});
  showMoment(time, at);
  const cells = [actor, verb, subject, via, digest ? digest.slice(0, 12) : ""];
  return { element: h("tr", {}, h("td", {}, time), ...cells.map((text) => h("td", {}, text))), update: () => {} };
}
