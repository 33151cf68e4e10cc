/**
 * Tells the operator, beyond the page, that something waits: by the browser's notifications, if they were asked for.
 *
 * Only while nobody looks at the page, and never with what an agent wrote. They are of the same things as the
 * hive's own notifications. Several tabs give one: those with the same tag replace each other.
 */

import { isGrave } from "../state/alerts.js";
import { isForOperator } from "../state/questions.js";
import { h } from "./elements.js";

/** @typedef {import("../types.js").HiveEvent} HiveEvent */
/** @typedef {{text: string, tag: string, place: string}} News `place` is where it is dealt with */

const WANTED = "hyperhive-notices";

/**
 * @param {import("../state/store.js").Store} store
 * @param {HTMLElement} place where the switch lies
 */
export function notices(store, place) {
  // Browsers give them to secure addresses only, which the machine itself is and a name in the net without HTTPS is not.
  if (!("Notification" in globalThis) || !isSecureContext) return;
  const button = h("button", { type: "button", class: "button", click: toggle });
  place.append(button);
  show();

  function isOn() {
    return Notification.permission === "granted" && localStorage.getItem(WANTED) === "yes";
  }

  function show() {
    button.setAttribute("aria-pressed", String(isOn()));
    button.textContent = Notification.permission === "denied" ? "Notices blocked" : isOn() ? "Notices on" : "Notify me";
    button.title = Notification.permission === "denied" ? "The browser forbids them for this address: allow them in its settings." : "";
  }

  async function toggle() {
    if (isOn()) localStorage.removeItem(WANTED);
    else if ((await Notification.requestPermission()) === "granted") {
      localStorage.setItem(WANTED, "yes");
      notify({ text: "You are told here", tag: "on", place: location.hash });
    }
    show();
  }

  /** @param {News} news */
  function notify({ text, tag, place: address }) {
    try {
      const notice = new Notification(`${text} · ${store.state.hive.name}`, { tag, icon: "/static/favicon.svg" });
      notice.addEventListener("click", () => {
        window.focus();
        location.hash = address;
      });
    } catch {
      // Browsers of phones have the interface and refuse to be asked by a page.
      localStorage.removeItem(WANTED);
      button.remove();
    }
  }

  store.hear((event) => {
    if (!document.hidden || !isOn()) return;
    const news = newsOf(event);
    if (news) notify(news);
  });
}

/**
 * @param {HiveEvent} event
 * @returns {News | null} null for what needs nobody
 */
export function newsOf({ kind, data }) {
  switch (kind) {
    case "approval_added":
      return { text: `${data.approval.requester} asks for an approval`, tag: `approval-${data.approval.id}`, place: "#/decisions" };
    case "question_added":
      if (!isForOperator(data.question)) return null;
      return { text: `${data.question.asker} asks you a question`, tag: `question-${data.question.id}`, place: "#/decisions" };
    case "message_queued":
      if (data.message.to !== "operator") return null;
      return { text: `${data.message.from} wrote to you`, tag: `message-${data.message.id}`, place: "#/messages" };
    case "alert_raised":
      return { text: `${isGrave(data) ? "An error" : "An alert"}${data.agent ? ` about ${data.agent}` : ""} stands on the page`, tag: `alert-${data.key}`, place: "#/hive" };
    default:
      return null;
  }
}
