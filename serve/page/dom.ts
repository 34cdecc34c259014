// Small helpers for elements of the page.

/** Returns the element with an id. @throws {Error} the page has none of this kind */
export function byId<Kind extends Element>(id: string, kind: new () => Kind): Kind {
  const element = document.getElementById(id);
  if (element instanceof kind) return element;
  throw new Error(`Expected an element #${id}`);
}

/** Makes an element with a class, and texts or elements within it. */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  className: string,
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  if (className !== "") element.className = className;
  element.append(...children);
  return element;
}

/** Makes an image. A decorative one has no text. */
export function makeImage(url: string, alt = ""): HTMLImageElement {
  const image = document.createElement("img");
  image.src = url;
  image.alt = alt;
  // A file that is no image leaves its place empty.
  image.addEventListener("error", () => image.style.setProperty("visibility", "hidden"));
  return image;
}

/** Returns milliseconds as a text, such as "3.4 ms". */
export function milliseconds(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** Returns the sentence of an error. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
