// The page: joins its parts.
import { drawAnswer } from "./answer.js";
import { byId, sentenceOf } from "./dom.js";
import { type DroppedImage, Images } from "./images.js";
import { listen } from "./input.js";
import { listenToLayers, useImage, useLayersOf } from "./layers.js";
import { drawList, noteOf } from "./list.js";
import { drawNeighbours } from "./neighbours.js";
import { models } from "./server.js";
import { watchTraffic } from "./traffic.js";
import { Work } from "./work.js";

const select = byId("model", HTMLSelectElement);
const status = byId("status", HTMLElement);
const images = new Images();

const choose = (image: DroppedImage) => {
  images.choose(image);
  draw();
};

const draw = () => {
  drawList(images, choose);
  const { chosen } = images;
  if (chosen === undefined) return;
  drawAnswer(chosen);
  useImage(chosen);
  drawNeighbours(chosen, images, choose);
};

/** Resolves when the models are known. Before, no image can be sent. */
const known = start();

const work = new Work(
  images,
  () => select.value,
  (image) => {
    // A screen reader hears the result, not each step.
    if (image.state === "done" || image.state === "failed")
      status.textContent = `${image.name}: ${noteOf(image)}`;
    draw();
  },
);

listen((files) => {
  if (files.length === 0) return;
  const added = files.map((file) => images.add(file));
  images.choose(added[0]!);
  draw();
  void known.then(() => {
    for (const image of added) work.add(image);
  });
});

select.addEventListener("change", () => {
  void useLayersOf(select.value);
  const { chosen } = images;
  if (chosen !== undefined) work.add(chosen);
});

listenToLayers();

async function start(): Promise<void> {
  try {
    select.replaceChildren(...(await models()).map((name) => new Option(name)));
    await useLayersOf(select.value);
  } catch (error) {
    const empty = byId("empty", HTMLElement);
    empty.textContent = sentenceOf(error);
  }
  void watchTraffic(() => select.value);
}
