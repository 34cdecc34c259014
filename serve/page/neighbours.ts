// The images that were dropped before and are most similar to the chosen one, by their embeddings.
import { byId, make, makeImage } from "./dom.js";
import type { DroppedImage, Images } from "./images.js";

const shown = 6;

const section = byId("neighbours", HTMLElement);
const text = byId("neighbours-text", HTMLElement);
const list = byId("similar", HTMLOListElement);

export function drawNeighbours(
  image: DroppedImage,
  images: Images,
  choose: (image: DroppedImage) => void,
): void {
  const { embedding, model } = image;
  section.hidden = embedding === undefined || image.state !== "done";
  if (embedding === undefined) return;
  // Embeddings of two models have nothing in common.
  const others = images.all
    .filter((other) => other !== image && other.model === model && other.embedding !== undefined)
    .map((other) => ({ other, similarity: product(embedding, other.embedding!) }))
    .sort((a, b) => b.similarity - a.similarity)
    .slice(0, shown);
  text.textContent =
    others.length === 0
      ? "Choose a second image to compare it with this one."
      : "The cosine similarity of embeddings; 1 is the same.";
  list.replaceChildren(
    ...others.map(({ other, similarity }) => {
      const button = make("button", "", makeImage(other.url));
      button.append(make("span", "name", other.name));
      button.append(make("span", "note", similarity.toFixed(3)));
      button.type = "button";
      button.addEventListener("click", () => choose(other));
      return make("li", "", button);
    }),
  );
}

function product(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * (b[i] ?? 0);
  return sum;
}
