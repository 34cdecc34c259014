// The list of the images.
import { byId, make, makeImage } from "./dom.js";
import type { DroppedImage, Images } from "./images.js";

const list = byId("list", HTMLUListElement);

/** Draws the list anew. The focus stays on its image. */
export function drawList(images: Images, choose: (image: DroppedImage) => void): void {
  const focused = (document.activeElement as HTMLElement | null)?.dataset.number;
  list.replaceChildren(
    ...images.all.map((image) => {
      const note = make("span", image.state === "failed" ? "note wrong" : "note", noteOf(image));
      const button = make("button", "", makeImage(image.url));
      button.append(make("span", "name", image.name), note);
      button.type = "button";
      button.dataset.number = String(image.number);
      if (image === images.chosen) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => choose(image));
      return make("li", "", button);
    }),
  );
  if (focused !== undefined)
    list.querySelector<HTMLElement>(`[data-number="${focused}"]`)?.focus({ preventScroll: true });
}

/** Says in few words what became of an image. */
export function noteOf({ state, labels, problem }: DroppedImage): string {
  if (state === "waiting") return "waits";
  if (state === "running") return "is being classified";
  return state === "failed" ? problem : (labels[0]?.label ?? "no label");
}
