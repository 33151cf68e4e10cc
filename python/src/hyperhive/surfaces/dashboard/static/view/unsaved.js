/** Keeps the page where it is when the login ends while something is typed that leaving would lose. */

import { LOGIN_ENDED, LOGIN_HOLDS } from "../wire/api.js";

const TYPED = "textarea, input:not([type])";

/** @param {HTMLElement} notice says then how to log in without leaving */
export function keepUnsaved(notice) {
  addEventListener(LOGIN_ENDED, (event) => {
    const fields = [...document.querySelectorAll(TYPED)];
    const isTyped = fields.some((field) => (field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement) && field.value.trim() !== "");
    if (!isTyped) return;
    event.preventDefault();
    notice.hidden = false;
  });
  addEventListener(LOGIN_HOLDS, () => {
    notice.hidden = true;
  });
}
