/** Server-sent events out of pieces of text, wherever the pieces are cut. */

/**
 * @typedef {object} ServerEvent
 * @property {string} type
 * @property {string} data
 */

export class EventParser {
  #rest = "";
  #type = "";
  /** @type {string[]} */
  #data = [];

  /**
   * Take a piece in and give the events that it completes. Comments give none.
   *
   * @param {string} piece
   * @returns {ServerEvent[]}
   */
  feed(piece) {
    const text = this.#rest + piece;
    // A carriage return at the very end may be half of a line end: it waits for what follows.
    const end = text.endsWith("\r") ? text.length - 1 : text.length;
    const lines = text.slice(0, end).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? "") + text.slice(end);
    return lines.flatMap((line) => this.#line(line));
  }

  /**
   * @param {string} line
   * @returns {ServerEvent[]}
   */
  #line(line) {
    if (line === "") return this.#complete();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#type = value;
    else if (field === "data") this.#data.push(value);
    return [];
  }

  /** @returns {ServerEvent[]} */
  #complete() {
    const event = { type: this.#type || "message", data: this.#data.join("\n") };
    const empty = this.#data.length === 0;
    this.#type = "";
    this.#data = [];
    return empty ? [] : [event];
  }
}
