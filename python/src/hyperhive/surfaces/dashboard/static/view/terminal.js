/**
 * What an agent does, live: turn below turn, the running one at the bottom.
 *
 * It stays at the bottom while it is there; scrolled up, what is read stays, and a button counts what has
 * come. Earlier turns are fetched above. The stream is open only while the page is looked at, because
 * a browser allows few connections.
 */

import { get } from "../wire/api.js";
import { readTranscript } from "../wire/transcript.js";
import { h, say } from "./elements.js";
import { lineView } from "./line.js";
import { showMoment } from "./times.js";
import { chip, counted, priced, showChip } from "./words.js";

/** @typedef {import("../types.js").Turn} Turn */
/** @typedef {import("../types.js").Line} Line */

/** Turns that are kept, and lines of each: a page that is open for days stays small. */
const TURNS_KEPT = 20;
const LINES_KEPT = 2000;
const END_SLACK = 32;

export class Terminal {
  #name;
  #rows = h("div", { class: "terminal-rows" });
  #older = h("button", { type: "button", class: "button", hidden: true, click: () => this.#earlier() }, "Earlier turn");
  #empty = h("p", { class: "quiet", hidden: true }, "No turn yet. Its first one appears here by itself.");
  #trouble = h("p", { class: "refusal", role: "alert", hidden: true });
  #newer = h("button", { type: "button", class: "button newer", hidden: true, click: () => this.#stick() });
  #scroller = h("div", { class: "terminal-scroll", tabindex: "0", role: "log", "aria-live": "off", "aria-label": "What it does, newest last" });
  /** @type {Block[]} */
  #blocks = [];
  #following = true;
  #fresh = 0;
  #looking = false;

  /** @param {string} name the agent's */
  constructor(name) {
    this.#name = name;
    this.#scroller.append(this.#older, this.#empty, this.#rows);
    this.element = h("div", { class: "terminal" }, this.#scroller, this.#newer, this.#trouble);
    this.#scroller.addEventListener("scroll", () => this.#measure(), { passive: true });
  }

  /** @param {readonly Turn[]} turns the newest first */
  begin(turns) {
    this.#empty.hidden = turns.length + this.#blocks.length > 0;
    const [newest] = turns;
    if (newest && this.#blocks.length === 0) this.#add(newest);
    this.#older.hidden = turns.length < 2;
  }

  /** @param {Turn} turn one that begins, or has changed */
  turn(turn) {
    const block = this.#blocks.find((each) => each.id === turn.id);
    if (block) block.update(turn);
    else this.#add(turn);
    this.#empty.hidden = true;
  }

  /** @param {Turn} turn one that was chosen: it stands alone */
  only(turn) {
    for (const block of this.#blocks) block.remove();
    this.#blocks = [];
    this.#following = true;
    this.#add(turn);
    this.#older.hidden = false;
    this.#scroller.focus();
  }

  /** @param {boolean} looking whether somebody can see it */
  look(looking) {
    this.#looking = looking;
    for (const block of this.#blocks) block.read(looking);
  }

  /** @param {Turn} turn */
  #add(turn) {
    const block = this.#block(turn);
    this.#rows.append(block.element);
    this.#blocks.push(block);
    block.read(this.#looking);
    while (this.#following && this.#blocks.length > TURNS_KEPT) {
      this.#blocks.shift()?.remove();
      this.#older.hidden = false;
    }
    if (this.#following) this.#stick();
  }

  /** @param {Turn} turn */
  #block(turn) {
    return new Block(turn, (fill) => this.#keeping(fill), (error) => say(this.#trouble, error));
  }

  async #earlier() {
    const [first] = this.#blocks;
    if (!first || this.#older.ariaDisabled === "true") return;
    this.#older.ariaDisabled = "true";
    try {
      const page = await get(`/api/agents/${encodeURIComponent(this.#name)}/turns?before=${first.id}&limit=1`);
      const turn = page.turns[0];
      this.#older.hidden = !page.more;
      if (turn) {
        const block = this.#block(turn);
        this.#following = false;
        this.#blocks.unshift(block);
        this.#rows.prepend(block.element);
        block.read(this.#looking);
      }
      say(this.#trouble, null);
    } catch (error) {
      say(this.#trouble, error instanceof Error ? error.message : String(error));
    }
    this.#older.ariaDisabled = "false";
  }

  /**
   * Change what is in the terminal, and keep in view what was.
   *
   * @param {() => {count: number, at: HTMLElement}} fill
   */
  #keeping(fill) {
    const scroller = this.#scroller;
    const before = scroller.scrollHeight;
    const { count, at } = fill();
    if (this.#following) return this.#stick();
    const isAbove = at.offsetTop + at.offsetHeight <= scroller.scrollTop + (scroller.scrollHeight - before);
    if (isAbove) scroller.scrollTop += scroller.scrollHeight - before;
    else this.#fresh += count;
    this.#measure();
  }

  #stick() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#following = true;
    this.#measure();
  }

  #measure() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    // Without a place to be scrolled in (not shown just now) nothing was scrolled away.
    if (clientHeight > 0) this.#following = scrollHeight - scrollTop - clientHeight <= END_SLACK;
    if (this.#following) this.#fresh = 0;
    say(this.#newer, this.#following ? null : this.#fresh > 0 ? `${this.#fresh} new` : "To the newest");
  }
}

/** One turn in the terminal. */
class Block {
  #keep;
  #trouble;
  #lines = h("div", { class: "lines" });
  #state = chip();
  #facts = h("span", { class: "facts" });
  #cut = 0;
  #cutNote = h("p", { class: "quiet", hidden: true });
  #over = false;
  /** @type {AbortController | null} */
  #reading = null;

  /**
   * @param {Turn} turn
   * @param {(fill: () => {count: number, at: HTMLElement}) => void} keep
   * @param {(error: string | null) => void} trouble
   */
  constructor(turn, keep, trouble) {
    this.id = turn.id;
    this.#keep = keep;
    this.#trouble = trouble;
    const time = h("time", { class: "at" });
    showMoment(time, turn.started_at);
    this.element = h(
      "section",
      { class: "turn-block", "data-turn": turn.id, "aria-label": `Turn ${turn.id}` },
      h("p", { class: "turn-head" }, h("b", {}, `Turn ${turn.id}`), time, this.#state, this.#facts),
      this.#cutNote,
      this.#lines,
    );
    this.update(turn);
  }

  /** @param {Turn} turn */
  update(turn) {
    showChip(this.#state, turn.outcome ?? "running");
    say(this.#facts, turnFacts(turn) || null);
  }

  /** @param {boolean} wanted */
  read(wanted) {
    if (!wanted) {
      this.#reading?.abort();
      this.#reading = null;
    } else if (!this.#reading && !this.#over) {
      this.#reading = new AbortController();
      this.#lines.replaceChildren();
      void this.#follow(this.#reading.signal);
    }
  }

  /** @param {AbortSignal} stop */
  async #follow(stop) {
    try {
      await readTranscript(this.id, (lines) => this.#take(lines), stop);
      this.#over = !stop.aborted;
      this.#trouble(null);
    } catch (error) {
      if (!stop.aborted) this.#trouble(error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {readonly Line[]} lines */
  #take(lines) {
    this.#keep(() => {
      this.#lines.append(...lines.slice(-LINES_KEPT).map(lineView));
      for (; this.#lines.childElementCount > LINES_KEPT; this.#cut += 1) this.#lines.firstElementChild?.remove();
      say(this.#cutNote, this.#cut > 0 ? `${counted(this.#cut, "line")} before these` : null);
      return { count: lines.length, at: this.element };
    });
  }

  remove() {
    this.#reading?.abort();
    this.element.remove();
  }
}

/**
 * @param {Turn} turn
 * @returns {string}
 */
export function turnFacts({ kind, usage, started_at: from, ended_at: to, error }) {
  const tokens = (usage?.input_tokens ?? 0) + (usage?.output_tokens ?? 0);
  const facts = [
    kind && kind !== "work" && kind,
    to && `${(to - from).toFixed(1)} s`,
    typeof usage?.cost_usd === "number" && priced(usage.cost_usd),
    tokens > 0 && counted(tokens, "token"),
    error,
  ];
  return facts.filter(Boolean).join(" · ");
}
