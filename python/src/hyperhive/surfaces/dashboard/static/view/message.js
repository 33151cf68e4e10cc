/**
 * One message: a row that opens.
 *
 * The row follows the state. Opening a message to the operator marks it read; while one is dead,
 * it offers the two ways on.
 */

import { OPERATOR } from "../state/operator.js";
import { post } from "../wire/api.js";
import { actionButton } from "./actions.js";
import { MessageDetail } from "./detail.js";
import { h, say } from "./elements.js";
import { showMoment } from "./times.js";
import { chip, counted, nameTag, showChip, showName } from "./words.js";

/** @typedef {import("../types.js").Message} Message */
/** @typedef {import("./elements.js").Item<Message>} MessageElement */

/**
 * @typedef {object} MessageOptions
 * @property {import("../state/store.js").Store} store
 * @property {(message: Message) => void} reply
 * @property {string} place tells the rows of one list from those of another
 * @property {boolean} [actionsAlways] what can be done is there without opening it
 * @property {(item: MessageItem) => void} [resized] called after it was opened, filled or closed
 */

/** @implements {MessageElement} */
export class MessageItem {
  #options;
  /** @type {Message} */
  #message;
  #time = h("time", { class: "at" });
  #from = nameTag("");
  #to = nameTag("");
  #preview = h("span", { class: "preview" });
  #marks = h("span", { class: "marks" });
  #chip = chip();
  #toggle;
  #panel;
  /** @type {DeadActions | null} */
  #actions = null;
  /** @type {MessageDetail | null} */
  #detail = null;

  /**
   * @param {Message} message
   * @param {MessageOptions} options
   */
  constructor(message, options) {
    this.#options = options;
    this.#message = message;
    const id = `${options.place}-${message.id}`;
    this.#toggle = h(
      "button",
      {
        type: "button",
        class: "row",
        "aria-expanded": "false",
        "aria-controls": id,
        click: () => this.toggle(),
      },
      this.#time,
      h(
        "span",
        { class: "way" },
        this.#from,
        h("span", { class: "arrow", "aria-hidden": "true" }, "→"),
        h("span", { class: "unseen" }, " to "),
        this.#to,
      ),
      this.#preview,
      h("span", { class: "state" }, this.#marks, this.#chip),
    );
    this.#panel = h("div", { class: "detail", id, hidden: true });
    this.element = h(
      "li",
      { class: "message", "data-id": message.id },
      this.#toggle,
      this.#panel,
    );
  }

  get button() {
    return this.#toggle;
  }

  get isOpen() {
    return this.#toggle.getAttribute("aria-expanded") === "true";
  }

  /** @param {Message} message */
  update(message) {
    const unread = message.to === OPERATOR && message.read_at === null;
    this.#message = message;
    showMoment(this.#time, message.at);
    showName(this.#from, message.from);
    showName(this.#to, message.to);
    const preview = message.at === null ? "Open it to read it." : message.preview;
    if (this.#preview.textContent !== preview) this.#preview.textContent = preview;
    const isDead = message.state === "dead";
    const marks = [
      message.broadcast && "broadcast",
      message.redelivered && !isDead && redelivery(message),
    ];
    say(this.#marks, marks.filter(Boolean).join(" · "));
    if (message.to === OPERATOR) showChip(this.#chip, unread ? "unread" : "read");
    else showChip(this.#chip, message.state);
    this.element.classList.toggle("is-unread", unread);
    this.element.classList.toggle("is-dead", isDead);
    this.#showActions();
    this.#detail?.update(message);
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
    this.#options.resized?.(this);
  }

  open() {
    if (this.isOpen) return;
    this.#toggle.setAttribute("aria-expanded", "true");
    this.#detail = new MessageDetail(this.#message, this.#options);
    this.#detail.loaded.then(() => this.#options.resized?.(this));
    this.#panel.replaceChildren(this.#detail.element);
    this.#panel.hidden = false;
    this.#showActions();
    if (this.#message.to === OPERATOR && this.#message.read_at === null) {
      post(`/api/messages/${this.#message.id}/read`).catch((error) => this.#detail?.refuse(error));
    }
  }

  close() {
    this.#toggle.setAttribute("aria-expanded", "false");
    this.#panel.hidden = true;
    this.removed();
    this.#panel.replaceChildren();
    this.#showActions();
  }

  #showActions() {
    const wanted = this.isOpen || this.#options.actionsAlways === true;
    if (!this.#actions) {
      if (!wanted || this.#message.state !== "dead") return;
      this.#actions = new DeadActions(() => this.#message);
      this.#toggle.after(this.#actions.element);
    }
    this.#actions.update(this.#message, wanted);
  }

  removed() {
    this.#detail?.removed();
    this.#detail = null;
  }
}

/** Requeue and drop, there while a message is dead, with the reason it died of. */
class DeadActions {
  /** @param {() => Message} current */
  constructor(current) {
    const path = () => `/api/messages/${current().id}`;
    this.reason = h("p", { class: "reason" });
    this.requeue = actionButton({ label: "Requeue", run: () => post(`${path()}/requeue`) });
    this.drop = actionButton({
      label: "Drop",
      confirm: "Drop it",
      warning: () =>
        `Message ${current().id} from ${current().from} will never reach ${current().to}.`,
      run: () => post(`${path()}/drop`),
    });
    const { requeue, drop } = this;
    this.element = h("div", { class: "dead-actions", hidden: true }, this.reason, requeue.element, drop.element);
  }

  /**
   * @param {Message} message
   * @param {boolean} wanted
   */
  update(message, wanted) {
    const isDead = message.state === "dead";
    if (!isDead) {
      this.requeue.reset();
      this.drop.reset();
    }
    const shown = isDead && wanted;
    if (this.element.hidden === shown) this.element.hidden = !shown;
    const why = message.reason ? `: ${message.reason}` : "";
    say(this.reason, isDead ? `Dead after ${counted(message.attempts, "attempt")}${why}` : null);
  }
}

/**
 * @param {Message} message
 * @returns {string}
 */
function redelivery({ attempts }) {
  return attempts > 0 ? `attempt ${attempts + 1}` : "redelivered";
}
