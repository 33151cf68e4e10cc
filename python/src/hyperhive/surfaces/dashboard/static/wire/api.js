/**
 * The operator's API, as far as the page uses it.
 *
 * Every refusal is thrown as a `Refusal` whose message can be shown as it is. A login that has ended
 * leads to the login page, wherever it is noticed, unless the page has something to lose.
 */

const REQUEST_MS = 20_000;

/** Why the hive did not do something, in the hive's own words, with what to do next. */
export class Refusal extends Error {
  /**
   * @param {string} text
   * @param {number} status 0 when no answer came
   */
  constructor(text, status) {
    super(text);
    this.name = "Refusal";
    this.status = status;
  }
}

/** @type {Promise<string> | null} */
let token = null;

/** @returns {Promise<string>} what proves to the server that a request comes from its own page */
function csrf() {
  token ??= get("/api/session").then((session) => session.csrf);
  token.catch(() => (token = null));
  return token;
}

/**
 * @param {string} path
 * @param {AbortSignal} [signal] instead of the usual time limit
 * @returns {Promise<any>}
 */
export async function get(path, signal) {
  return answered(await ask(path, { headers: { accept: "application/json" } }, signal));
}

/**
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<any>}
 */
export async function post(path, body = {}) {
  const headers = {
    accept: "application/json",
    "content-type": "application/json",
    "x-hyperhive-csrf": await csrf(),
  };
  const response = await ask(path, { method: "POST", headers, body: JSON.stringify(body) });
  // A token of an older session is refused: the next click then takes a new one.
  if (response.status === 403 || response.status === 401) token = null;
  return answered(response);
}

/**
 * @param {string} path
 * @param {RequestInit} init
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
export async function ask(path, init, signal = AbortSignal.timeout(REQUEST_MS)) {
  try {
    return await fetch(path, { ...init, signal, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    const text = late ? "The hive did not answer in time." : "The hive cannot be reached.";
    throw new Refusal(`${text} Try again in a moment.`, 0);
  }
}

/**
 * @param {Response} response
 * @returns {Promise<any>}
 */
export async function answered(response) {
  if (response.status === 401) loginEnded();
  else if (response.ok) loginHolds();
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw new Refusal(refusalText(response.status, answer), response.status);
}

/** What is told of the login: a listener of the first keeps the page where it is by preventing the default. */
export const LOGIN_ENDED = "hyperhive-login-ended";
export const LOGIN_HOLDS = "hyperhive-login-holds";
let hasEnded = false;

/** Notice that nobody is logged in any more. */
export function loginEnded() {
  hasEnded = true;
  if (dispatchEvent(new Event(LOGIN_ENDED, { cancelable: true }))) toLogin();
}

/** Notice that somebody is logged in. */
export function loginHolds() {
  if (hasEnded) dispatchEvent(new Event(LOGIN_HOLDS));
  hasEnded = false;
}

/** Lead to the login, and back to this page after it. */
export function toLogin() {
  location.assign(`/login${location.hash}`);
}

/**
 * @param {number} status
 * @param {any} problem problem details, or whatever came instead
 * @returns {string}
 */
export function refusalText(status, problem) {
  const parts = [problem?.detail ?? problem?.title ?? `The hive answered ${status}.`, problem?.remedy];
  const texts = parts.filter((part) => typeof part === "string" && part !== "");
  return texts.filter((text, index) => !texts.slice(0, index).some((said) => said.includes(text))).join(" ");
}
