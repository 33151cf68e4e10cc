/** The transcript of one turn as it is written: everything so far, then line by line until its end. */

import { answered, ask, get } from "./api.js";
import { EventParser } from "./sse.js";

/** @typedef {import("../types.js").Line} Line */

const RETRY_MS = 1_000;
/** The last lines of a turn may come just after its end. */
const AFTERWARDS_MS = 1_500;

/** How many lines are asked for at once. */
export const LINES_PAGE = 500;

/**
 * Read until the turn has ended or the signal says to stop; a lost connection is made anew.
 *
 * @param {number} turn
 * @param {number} after the last line that is known already; -1 for none
 * @param {(lines: readonly Line[]) => void} take each line comes once, in order
 * @param {AbortSignal} stop
 * @throws {import("./api.js").Refusal} what the hive refuses to give
 */
export async function readTranscript(turn, after, take, stop) {
  /** @param {readonly Line[]} lines */
  const told = (lines) => {
    const fresh = stop.aborted ? [] : lines.filter(({ n }) => n > after);
    after = fresh.at(-1)?.n ?? after;
    if (fresh.length > 0) take(fresh);
  };
  while (!stop.aborted) {
    const over = await readOnce(turn, () => after, told, stop);
    if (stop.aborted) return;
    await new Promise((resolve) => setTimeout(resolve, over ? AFTERWARDS_MS : RETRY_MS));
    if (!over) continue;
    if (!stop.aborted) told(await linesAfter(turn, after));
    return;
  }
}

/**
 * @param {number} turn
 * @param {number} after
 * @returns {Promise<Line[]>} a page of those after a line, in order
 */
export async function linesAfter(turn, after) {
  return (await get(`/api/turns/${turn}/events?after=${after}&limit=${LINES_PAGE}`)).events;
}

/**
 * @param {number} turn
 * @param {() => number} after
 * @param {(lines: readonly Line[]) => void} told
 * @param {AbortSignal} stop
 * @returns {Promise<boolean>} whether the turn has ended
 */
async function readOnce(turn, after, told, stop) {
  const headers = { accept: "text/event-stream" };
  let response;
  try {
    response = await ask(`/api/turns/${turn}/stream?after=${after()}`, { headers }, stop);
  } catch {
    return false; // Not reached: the header says so already, and this is tried again.
  }
  if (!response.ok || !response.body) {
    await answered(response);
    return true;
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return false;
      for (const { type, data } of parser.feed(value)) {
        if (type === "lines") told(JSON.parse(data).events);
        if (type === "end") return true;
      }
    }
  } catch {
    return false; // Cut in the middle, or stopped by us: what was told stays, the rest is asked for.
  }
}
