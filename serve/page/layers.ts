// The channels of a layer for the chosen image.
import { byId, sentenceOf } from "./dom.js";
import type { DroppedImage } from "./images.js";
import { layersOf, tiles } from "./server.js";

const section = byId("layers", HTMLElement);
const layer = byId("layer", HTMLSelectElement);
const channels = byId("channels", HTMLSelectElement);
const drawing = byId("tiles", HTMLImageElement);
const text = byId("layer-text", HTMLElement);

let image: DroppedImage | undefined;
let model = "";
let running = new AbortController();

export function listenToLayers(): void {
  byId("show-layer", HTMLButtonElement).addEventListener("click", () => void show());
  layer.addEventListener("change", clear);
  channels.addEventListener("change", clear);
}

/** Takes another model: its layers are offered. */
export async function useLayersOf(name: string): Promise<void> {
  model = name;
  const before = layer.value;
  layer.disabled = true;
  let problem = "";
  const layers = await layersOf(name).catch((error: unknown) => {
    problem = sentenceOf(error);
    return [];
  });
  if (model !== name) return;
  layer.disabled = false;
  layer.replaceChildren(
    ...layers.map(({ name, shape }) => new Option(`${name} (${shape.join(" × ")})`, name)),
  );
  if (layers.some(({ name }) => name === before)) layer.value = before;
  clear();
  text.textContent = problem;
}

/** Takes another image, whose channels are drawn when they are asked for. */
export function useImage(chosen: DroppedImage): void {
  section.hidden = chosen.state !== "done";
  if (image === chosen) return;
  image = chosen;
  clear();
}

/** Forgets what is shown, and ends a call that runs. */
function clear(): void {
  running.abort();
  if (drawing.src !== "") URL.revokeObjectURL(drawing.src);
  drawing.removeAttribute("src");
  drawing.hidden = true;
  text.textContent = "";
}

async function show(): Promise<void> {
  if (image === undefined || layer.disabled || layer.value === "") return;
  clear();
  const controller = new AbortController();
  running = controller;
  const name = layer.value;
  text.textContent = `The server draws ${name}.`;
  try {
    const options = { model, layer: name, channels: channels.value };
    const { png, shape } = await tiles(options, image.file, controller.signal);
    if (controller.signal.aborted) return;
    drawing.src = URL.createObjectURL(png);
    drawing.hidden = false;
    text.textContent = sizesOf(shape, Number(channels.value));
    drawing.alt = `Channels of ${name} for ${image.name}`;
  } catch (error) {
    if (!controller.signal.aborted) text.textContent = sentenceOf(error);
  }
}

function sizesOf([count, height, width]: readonly number[], most: number): string {
  if (height === undefined)
    return `${count} values, row by row, from the least (black) to the greatest (white).`;
  const part = count! > most ? `The first ${most} of ${count}` : `${count}`;
  return `${part} channels of ${width} × ${height}, each from its least value (black) to its greatest (white).`;
}
