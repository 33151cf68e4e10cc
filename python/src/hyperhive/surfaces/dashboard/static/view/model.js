/** Chooses the model that an agent uses from its next turn on, or goes back to the declared one. */

import { actionButton, ask } from "./actions.js";
import { h, say } from "./elements.js";

/**
 * @param {string} name the agent's
 * @param {import("../state/store.js").Store} store
 * @param {string} place
 * @returns {HTMLFormElement}
 */
export function modelForm(name, store, place) {
  const path = `/api/agents/${encodeURIComponent(name)}/model`;
  const input = h("input", { id: `model-${place}${name}`, autocomplete: "off", spellcheck: "false", maxlength: 200 });
  const use = h("button", { type: "submit", class: "button" }, "Use");
  const refusal = h("p", { class: "refusal", role: "alert", hidden: true });
  const declared = actionButton({
    label: "As declared",
    run: () => ask(store, path, { model: null }),
    again: true,
    done: "Its next turn uses the declared model.",
  });

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    const model = input.value.trim();
    if (use.ariaDisabled === "true") return;
    declared.reset();
    say(refusal, model ? null : "Write the name of a model first.");
    if (!model) return;
    use.ariaDisabled = "true";
    try {
      await ask(store, path, { model });
      input.value = "";
    } catch (error) {
      say(refusal, error instanceof Error ? error.message : String(error));
    }
    use.ariaDisabled = "false";
  }

  return h(
    "form",
    { class: "model", submit },
    h("label", { for: input.id }, "Model"),
    input,
    use,
    declared.element,
    refusal,
  );
}
