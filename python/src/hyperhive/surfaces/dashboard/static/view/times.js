/**
 * Times in words that keep their width: "now", "42s", "7m", "3h", "12d".
 *
 * One timer updates all of them in place. The server's clock counts: ours may be wrong.
 */

let ahead = 0;

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "medium" });

/**
 * @param {number} at the server's time just now
 */
export function synchronise(at) {
  ahead = at - Date.now() / 1000;
}

/** @returns {number} the server's time */
export function now() {
  return Date.now() / 1000 + ahead;
}

/**
 * @param {number} seconds
 * @returns {string}
 */
export function span(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 60) return `${Math.floor(seconds)}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/**
 * @param {number} at
 * @returns {string} the time of day if that was within the last day, else the date
 */
export function moment(at) {
  const date = new Date(at * 1000);
  return now() - at < 86_400 ? clock.format(date) : day.format(date);
}

/**
 * @param {number} at
 * @returns {string}
 */
export function wholeMoment(at) {
  return full.format(new Date(at * 1000));
}

/**
 * Let `element` say how long ago `at` was, from now on.
 *
 * @param {HTMLTimeElement} element
 * @param {number | null} at
 */
export function showSince(element, at) {
  element.hidden = at === null;
  if (at === null) {
    delete element.dataset["since"];
    return;
  }
  element.dataset["since"] = String(at);
  stamp(element, at);
  refresh(element);
}

/**
 * Let `element` say when `at` was.
 *
 * @param {HTMLTimeElement} element
 * @param {number | null} at
 */
export function showMoment(element, at) {
  element.hidden = at === null;
  if (at === null) return;
  stamp(element, at);
  element.textContent = moment(at);
}

/**
 * Let `element` say how long there is until `at`, from now on.
 *
 * @param {HTMLTimeElement} element
 * @param {number | null} at
 */
export function showLeft(element, at) {
  element.hidden = at === null;
  if (at === null) {
    delete element.dataset["left"];
    return;
  }
  element.dataset["left"] = String(at);
  stamp(element, at);
  refresh(element);
}

/**
 * Let `element` be there until `until`, and no longer.
 *
 * @param {HTMLElement} element
 * @param {number | null} until
 */
export function showUntil(element, until) {
  if (until === null) delete element.dataset["until"];
  else element.dataset["until"] = String(until);
  element.hidden = until !== null && until <= now();
}

/** Keep every relative time on the page true while somebody can see it. */
export function startTicking() {
  setInterval(() => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll("time[data-since], time[data-left]")) {
      if (element instanceof HTMLElement) refresh(element);
    }
    for (const element of document.querySelectorAll("[data-until]:not([hidden])")) {
      if (element instanceof HTMLElement) element.hidden = Number(element.dataset["until"]) <= now();
    }
  }, 1000);
}

/**
 * @param {HTMLTimeElement} element
 * @param {number} at
 */
function stamp(element, at) {
  element.dateTime = new Date(at * 1000).toISOString();
  element.title = wholeMoment(at);
}

/** @param {HTMLElement} element */
function refresh(element) {
  const { since, left } = element.dataset;
  const text = left === undefined ? span(now() - Number(since)) : leftText(Number(left) - now());
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {number} seconds
 * @returns {string}
 */
function leftText(seconds) {
  return seconds > 0 ? `${span(Math.max(1, seconds))} left` : "overdue";
}
