/**
 * Which page is shown: the part of the address behind `#/`.
 *
 * A page is built when it is first visited and stays, so that coming back finds it as it was left: what
 * was open, selected, typed and scrolled. `#/agent/alice` is the page `agent` of `alice`.
 */

/**
 * @typedef {object} Page
 * @property {HTMLElement} [element] absent where the shell has the page's elements
 * @property {(argument: string) => string} enter shown from now on; gives its title
 * @property {() => void} [leave] not shown any more
 */

const FIRST = "hive";
const NAME = "Hyperhive";

/** @returns {{name: string, argument: string}} */
function wanted() {
  const [, name = "", ...rest] = location.hash.startsWith("#/") ? location.hash.split("/") : [];
  return { name, argument: decoded(rest.join("/")) };
}

/**
 * @param {string} text
 * @returns {string}
 */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export class Router {
  #makers;
  #place;
  #moved;
  /** @type {Map<string, Page>} */
  #pages = new Map();
  /** @type {Map<string, number>} */
  #scrolled = new Map();
  /** @type {Page | null} */
  #shown = null;
  #at = "";

  /**
   * @param {Record<string, () => Page>} makers by name
   * @param {HTMLElement} place where pages lie that the shell has no elements for
   * @param {(title: string) => void} moved called after each change of page
   */
  constructor(makers, place, moved) {
    this.#makers = makers;
    this.#place = place;
    this.#moved = moved;
    addEventListener("hashchange", () => this.#follow(true));
    this.#follow(false);
  }

  /** @param {boolean} byHand whether somebody went there, rather than loaded the page there */
  #follow(byHand) {
    // Addresses such as #agents are of the links that skip to a part of this page.
    if (this.#shown && location.hash && !location.hash.startsWith("#/")) return;
    const { name: asked, argument } = wanted();
    const name = asked in this.#makers ? asked : FIRST;
    const at = `${name}/${argument}`;
    if (this.#shown) this.#scrolled.set(this.#at, this.#scroller.scrollTop);
    this.#shown?.leave?.();
    const page = this.#page(name);
    document.body.dataset["page"] = name;
    for (const child of this.#place.children) child.toggleAttribute("hidden", child !== page.element);
    this.#place.hidden = !page.element;
    this.#shown = page;
    this.#at = at;
    const title = page.enter(argument);
    for (const link of document.querySelectorAll(".places a")) {
      const is = link.getAttribute("href") === `#/${name}`;
      if (is) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.#moved(title || NAME);
    if (!byHand) return;
    this.#scroller.scrollTop = this.#scrolled.get(at) ?? 0;
    page.element?.querySelector("h2")?.focus({ preventScroll: true });
  }

  /** What scrolls: the place itself where there is room for panels, otherwise the document. */
  get #scroller() {
    const own = getComputedStyle(this.#place).overflowY === "auto";
    return own ? this.#place : document.documentElement;
  }

  /**
   * @param {string} name
   * @returns {Page}
   */
  #page(name) {
    const known = this.#pages.get(name);
    if (known) return known;
    const maker = this.#makers[name];
    if (!maker) throw new Error(`There is no page ${name}.`);
    const page = maker();
    if (page.element) this.#place.append(page.element);
    this.#pages.set(name, page);
    return page;
  }
}

/**
 * Let the links that skip to a part of the page do so without changing which page is shown.
 *
 * @param {HTMLElement} links
 */
export function keepSkips(links) {
  links.addEventListener("click", (event) => {
    const link = event.target instanceof Element && event.target.closest("a");
    const target = link && document.getElementById((link.getAttribute("href") ?? "").slice(1));
    if (!target) return;
    event.preventDefault();
    target.focus();
    target.scrollIntoView({ block: "nearest" });
  });
}
