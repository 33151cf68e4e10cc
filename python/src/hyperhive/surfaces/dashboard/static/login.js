/**
 * Logs the operator in with the hive's secret, and shows why not where it was typed.
 *
 * The form is dead until this has run, and posts: a browser that sends it by itself must not put
 * the secret into an address.
 */

import { login } from "./wire/login.js";
import { part, say } from "./view/elements.js";

const form = part("login-form", HTMLFormElement);
const secret = part("secret", HTMLInputElement);
const button = part("login-send", HTMLButtonElement);
const refusal = part("login-refusal", HTMLElement);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  say(refusal, null);
  try {
    await login(secret.value);
    location.assign(`/${location.hash}`);
  } catch (error) {
    say(refusal, error instanceof Error ? error.message : String(error));
    secret.select();
  }
  button.ariaDisabled = "false";
});
button.disabled = false;
