// The token of the server: asked for when it is needed, and kept in the page's memory only.
import { byId } from "./dom.js";

class Tokens {
  /** "" is none. */
  present = "";
  #asked: Promise<void> | undefined;

  /** Shows the field and waits for another token than the one that was refused. */
  ask(refused: string): Promise<void> {
    if (this.present !== refused) return Promise.resolve();
    this.#asked ??= this.#show();
    return this.#asked;
  }

  #show(): Promise<void> {
    const form = byId("token-form", HTMLFormElement);
    const field = byId("token", HTMLInputElement);
    form.hidden = false;
    field.setCustomValidity("");
    if (this.present !== "") field.setCustomValidity("The server refused this token");
    if (this.present !== "") field.reportValidity();
    field.addEventListener("input", () => field.setCustomValidity(""), { once: true });
    field.focus();
    return new Promise((resolve) => {
      const use = (event: Event) => {
        event.preventDefault();
        const token = field.value.trim();
        if (token === "") return;
        form.removeEventListener("submit", use);
        this.present = token;
        field.value = "";
        form.hidden = true;
        this.#asked = undefined;
        resolve();
      };
      form.addEventListener("submit", use);
    });
  }
}

export const tokens = new Tokens();
