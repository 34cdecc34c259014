// Keeps embeddings of a folder's images in SQLite, and finds the images that are most similar to one. Needs sqlite-vec and
// Node 22.18 or newer. Usage: node 11-similar-images.ts [FOLDER [QUERY [DATABASE [WEIGHTS]]]]. Without WEIGHTS the parameters
// are random.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import * as sqliteVec from "sqlite-vec";
import { Vgg } from "vgg-cudnn";

const [
  folder = "test/golden/images",
  query = join(folder, "portrait.jpg"),
  path = ":memory:",
  weights,
] = process.argv.slice(2);
const model = weights ? await Vgg.load(weights) : await Vgg.create("vgg11", { seed: 1 });
// 512 values of length 1: the mean of each channel of the last pool.
const settings = { layer: "features", pool: "mean", normalize: true } as const;

const database = new DatabaseSync(path, { allowExtension: true });
sqliteVec.load(database);
database.exec(`CREATE VIRTUAL TABLE IF NOT EXISTS images
  USING vec0(embedding float[512] distance_metric=cosine, +file TEXT)`);

/** The bytes of an embedding, as sqlite-vec takes them. */
const bytes = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

// Embed the images that the database does not have yet.
const known = new Set(
  database
    .prepare("SELECT file FROM images")
    .all()
    .map(({ file }) => file),
);
const images = (await readdir(folder, { recursive: true }))
  .filter((name) => /\.(jpe?g|jfif|png|webp|gif|tiff?|avif|bmp|p[bgp]m)$/i.test(name))
  .map((name) => join(folder, name))
  .filter((file) => !known.has(file))
  .sort();
const insert = database.prepare("INSERT INTO images (embedding, file) VALUES (?, ?)");
database.exec("BEGIN");
for await (const result of model.embedEach(images, settings)) {
  if ("error" in result) console.error(String(result.error));
  else insert.run(bytes(result.embedding), result.source);
}
database.exec("COMMIT");

const { data } = await model.embed(query, settings);
const nearest = database.prepare(
  "SELECT file, distance FROM images WHERE embedding MATCH ? AND k = 5 ORDER BY distance",
);
for (const { file, distance } of nearest.all(bytes(data)))
  console.log((1 - Number(distance)).toFixed(4), file);

database.close();
await model.dispose();
