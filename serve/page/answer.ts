// The answer for one image: its labels with bars, and the time of each stage; or why there is none.
import { byId, make, milliseconds } from "./dom.js";
import type { DroppedImage, Label, Times } from "./images.js";

const area = byId("answer", HTMLElement);
const preview = byId("preview", HTMLImageElement);
const problem = byId("problem", HTMLElement);
const bars = byId("labels", HTMLOListElement);
const strip = byId("strip", HTMLElement);
const list = byId("times", HTMLElement);

// A file that the browser cannot show has no preview.
preview.addEventListener("error", () => preview.toggleAttribute("hidden", true));
preview.addEventListener("load", () => preview.toggleAttribute("hidden", false));

export function drawAnswer(image: DroppedImage): void {
  byId("empty", HTMLElement).hidden = true;
  area.hidden = false;
  if (preview.src !== image.url) preview.src = image.url;
  preview.alt = image.name;
  const isFailed = image.state === "failed";
  area.classList.toggle("failed", isFailed);
  problem.hidden = !isFailed;
  if (problem.textContent !== image.problem) problem.textContent = image.problem;
  bars.replaceChildren(...image.labels.map(barOf));
  drawTimes(image.times);
}

function barOf({ label, index, probability }: Label): HTMLElement {
  const share = probability ?? 0;
  const fill = make("span", "");
  fill.style.width = `${100 * share}%`;
  const bar = make("span", "bar", fill);
  bar.setAttribute("aria-hidden", "true");
  const percent = probability === null ? "not a number" : `${(100 * share).toFixed(1)} %`;
  const name = make("span", "name", label || `class ${index}`);
  name.title = label;
  return make("li", "", name, make("span", "percent", percent), bar);
}

/** What the server does not know of is the rest. */
function drawTimes(times: Times | undefined): void {
  if (times === undefined) {
    strip.replaceChildren();
    list.replaceChildren();
    return;
  }
  const { total, ...stages } = times;
  const known = Object.values(stages).reduce((sum, ms) => sum + ms, 0);
  const all = Object.entries({ ...stages, rest: Math.max(0, total - known) });
  strip.replaceChildren(
    ...all.map(([name, ms]) => {
      const part = make("span", name);
      part.style.flexGrow = String(ms);
      return part;
    }),
  );
  const row = (name: string, text: string, ms: number) =>
    make("div", name, make("dt", "", text), make("dd", "", milliseconds(ms)));
  list.replaceChildren(
    ...all.map(([name, ms]) => row(name, name[0]!.toUpperCase() + name.slice(1), ms)),
    row("whole", "Total", total),
  );
}
