/** The one request that is made without being logged in. */

import { ask, Refusal, refusalText } from "./api.js";

/**
 * Trade the secret for a session.
 *
 * @param {string} secret
 * @throws {Refusal} with the reason to show
 */
export async function login(secret) {
  const headers = { accept: "application/json", "content-type": "application/json" };
  const response = await ask("/login", { method: "POST", headers, body: JSON.stringify({ secret }) });
  if (response.ok) return;
  const problem = await response.json().catch(() => null);
  throw new Refusal(refusalText(response.status, problem), response.status);
}
