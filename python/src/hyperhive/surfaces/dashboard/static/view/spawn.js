/** Asks for a new agent: a form behind a button, whose outcome is an approval that can be read before the yes. */

import { actionButton, ask } from "./actions.js";
import { h, say } from "./elements.js";

/**
 * @param {import("../state/store.js").Store} store
 * @returns {{button: HTMLElement, form: HTMLElement}}
 */
export function spawning(store) {
  const name = h("input", { id: "spawn-name", autocomplete: "off", spellcheck: "false", maxlength: 64, placeholder: "carol" });
  const description = h("input", { id: "spawn-description", autocomplete: "off", maxlength: 500, placeholder: "what it is there for" });
  const prompt = h("textarea", { id: "spawn-prompt", rows: 3, placeholder: "what else its system prompt says" });
  const model = h("input", { id: "spawn-model", autocomplete: "off", spellcheck: "false", maxlength: 200, placeholder: "as its manager's" });
  const request = actionButton({
    label: "Ask for it",
    primary: true,
    again: true,
    done: "Asked for. Read what would be made under Decisions, and approve it.",
    run: async () => {
      if (!name.value.trim()) throw new Error("Give it a name first.");
      await ask(store, "/api/spawn", {
        name: name.value.trim(),
        description: description.value.trim(),
        system_prompt: prompt.value,
        model: model.value.trim() || null,
      });
      for (const field of [name, description, prompt, model]) field.value = "";
    },
  });
  const form = h(
    "form",
    { class: "spawn", id: "spawn", hidden: true, "aria-label": "Ask for a new agent", submit: (/** @type {Event} */ event) => event.preventDefault() },
    ...[
      ["Name", name],
      ["Description", description],
      ["System prompt", prompt],
      ["Model", model],
    ].flatMap(([label, field]) => (field instanceof HTMLElement ? [h("label", { for: field.id }, String(label)), field] : [])),
    request.element,
  );
  const button = h("button", { type: "button", class: "button", "aria-expanded": "false", "aria-controls": form.id, click: toggle }, "New agent");

  function toggle() {
    const isOpen = form.hidden;
    form.hidden = !isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
    say(button, isOpen ? "No new agent" : "New agent");
    if (isOpen) name.focus();
  }

  return { button, form };
}
