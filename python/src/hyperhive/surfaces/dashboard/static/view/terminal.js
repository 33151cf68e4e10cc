/**
 * What an agent does, live: turn below turn, the running one at the bottom.
 *
 * It stays at the bottom while it is there; scrolled up, what is read stays, and a button counts what has
 * come. What was earlier is fetched when the top is reached, or by a button there. The stream is open only
 * while the page is looked at, because a browser allows few connections; it goes on where it was.
 */

import { get } from "../wire/api.js";
import { LINES_PAGE, linesAfter, readTranscript } from "../wire/transcript.js";
import { h, say } from "./elements.js";
import { lineView } from "./line.js";
import { showMoment } from "./times.js";
import { chip, counted, priced, showChip } from "./words.js";

/** @typedef {import("../types.js").Turn} Turn */
/** @typedef {import("../types.js").Line} Line */

/** Turns that are kept, and lines of each, while nobody reads further up: a page that is open for days stays small. */
const TURNS_KEPT = 20;
const LINES_KEPT = 2000;
const END_SLACK = 32;

export class Terminal {
  #name;
  #rows = h("div", { class: "terminal-rows" });
  #older = h("button", { type: "button", class: "button", hidden: true, click: () => this.#earlierTurn() }, "Earlier turn");
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
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
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
    return new Block(turn, {
      keep: (fill) => this.#keeping(fill),
      trouble: (error) => say(this.#trouble, error),
      earlier: (button, load) => this.#earlier(button, load),
      isFollowed: () => this.#following,
    });
  }

  /** Fetch what was before, when the top is reached. */
  #scrolled() {
    this.#measure();
    if (this.#following || this.#scroller.scrollTop > END_SLACK) return;
    if (this.#blocks[0]?.isCut) this.#blocks[0].loadEarlier();
    else if (!this.#older.hidden) void this.#earlierTurn();
  }

  async #earlierTurn() {
    const [first] = this.#blocks;
    if (!first) return;
    await this.#earlier(this.#older, async () => {
      const page = await get(`/api/agents/${encodeURIComponent(this.#name)}/turns?before=${first.id}&limit=1`);
      const turn = page.turns[0];
      // Another turn may stand alone by now.
      if (this.#blocks[0] !== first) return;
      this.#older.hidden = !page.more;
      if (!turn) return;
      const block = this.#block(turn);
      this.#following = false;
      this.#blocks.unshift(block);
      this.#keeping(() => {
        this.#rows.prepend(block.element);
        return { count: 0, at: null };
      });
      block.read(this.#looking);
    });
  }

  /**
   * @param {HTMLElement} button what asks for it; not twice at once
   * @param {() => Promise<void>} load
   */
  async #earlier(button, load) {
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true";
    try {
      await load();
      say(this.#trouble, null);
    } catch (error) {
      say(this.#trouble, error instanceof Error ? error.message : String(error));
    }
    button.ariaDisabled = "false";
  }

  /**
   * Change what is in the terminal, and keep in view what was.
   *
   * @param {Fill} fill
   */
  #keeping(fill) {
    const scroller = this.#scroller;
    const before = scroller.scrollHeight;
    const { count, at } = fill();
    if (this.#following) return this.#stick();
    const isAbove = at === null || at.offsetTop + at.offsetHeight <= scroller.scrollTop + (scroller.scrollHeight - before);
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

/**
 * @typedef {() => {count: number, at: HTMLElement | null}} Fill adds so many lines to an element, or (null) above all that is read
 *
 * @typedef {object} Surroundings What a block needs of the terminal.
 * @property {(fill: Fill) => void} keep
 * @property {(error: string | null) => void} trouble
 * @property {(button: HTMLElement, load: () => Promise<void>) => Promise<void>} earlier
 * @property {() => boolean} isFollowed whether the end is what is looked at
 */

/** One turn in the terminal. */
class Block {
  #around;
  #lines = h("div", { class: "lines" });
  #state = chip();
  #facts = h("span", { class: "facts" });
  #cut = h("button", { type: "button", class: "button", hidden: true, click: () => this.loadEarlier() });
  /** The first line that is there, and the last one that came. */
  #first = 0;
  #last = -1;
  #over = false;
  /** @type {AbortController | null} */
  #reading = null;

  /**
   * @param {Turn} turn
   * @param {Surroundings} around
   */
  constructor(turn, around) {
    this.id = turn.id;
    this.#around = around;
    const time = h("time", { class: "at" });
    showMoment(time, turn.started_at);
    this.element = h(
      "section",
      { class: "turn-block", "data-turn": turn.id, "aria-label": `Turn ${turn.id}` },
      h("p", { class: "turn-head" }, h("b", {}, `Turn ${turn.id}`), time, this.#state, this.#facts),
      this.#cut,
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
      void this.#follow(this.#reading.signal);
    }
  }

  /** @param {AbortSignal} stop */
  async #follow(stop) {
    try {
      await readTranscript(this.id, this.#last, (lines) => this.#take(lines), stop);
      this.#over = !stop.aborted;
      this.#around.trouble(null);
    } catch (error) {
      if (!stop.aborted) this.#around.trouble(error instanceof Error ? error.message : String(error));
    }
  }

  /** Whether there are lines before those that are there. */
  get isCut() {
    return this.#first > 0;
  }

  loadEarlier() {
    void this.#around.earlier(this.#cut, async () => {
      const first = this.#first;
      const lines = await linesAfter(this.id, Math.max(-1, first - 1 - LINES_PAGE));
      // What is above may have been let go of meanwhile.
      if (this.#first !== first) return;
      this.#around.keep(() => {
        this.#lines.prepend(...lines.filter(({ n }) => n < first).map(lineView));
        this.#begin(lines[0]?.n ?? 0);
        return { count: 0, at: null };
      });
    });
  }

  /** @param {number} first the number of the first line that is there */
  #begin(first) {
    this.#first = first;
    say(this.#cut, first > 0 ? `${counted(first, "line")} before these` : null);
  }

  /** @param {readonly Line[]} lines */
  #take(lines) {
    this.#last = lines.at(-1)?.n ?? this.#last;
    this.#around.keep(() => {
      this.#lines.append(...lines.map(lineView));
      const excess = this.#around.isFollowed() ? this.#lines.childElementCount - LINES_KEPT : 0;
      for (let left = excess; left > 0; left -= 1) this.#lines.firstElementChild?.remove();
      if (excess > 0) this.#begin(this.#first + excess);
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
