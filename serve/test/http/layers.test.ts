// The channels of a layer as a PNG: tiles, the layers of a model, stage times, and what is refused and recorded.
import sharp from "sharp";
import { preprocess } from "vgg-cudnn";
import { expect, it } from "vitest";
import { Access } from "../../lib/access/access.ts";
import { httpApp } from "../../lib/http/app.ts";
import { encodePng } from "../../lib/http/tiles/png.ts";
import { drawTiles } from "../../lib/http/tiles/tiles.ts";
import { fileOf, useSmallModel } from "../support/small-model.ts";

const used = useSmallModel({ outputBytes: 200_000 });
const app = () =>
  httpApp({
    engine: used.engine,
    access: new Access(),
    limits: {
      bodyBytes: 2 ** 20,
      heldBytes: 2 ** 24,
      jsonTensorBytes: 2 ** 20,
      imagesPerRequest: 8,
    },
    server: { name: "x", version: "0" },
  });
const post = (path: string, body: Uint8Array<ArrayBuffer> | FormData | string = fileOf(1)) =>
  app().request(path, { method: "POST", body });

it("draws each channel from its least to its greatest value, with level 0 between the tiles", () => {
  const data = Float32Array.of(0, 1, 2, 4, 5, 5, 5, 5, Number.NaN, -1, 0, 1);
  const { width, height, data: pixels } = drawTiles([3, 2, 2], data, { channels: 8, size: 8 });
  expect([width, height]).toEqual([18, 18]);
  const at = (x: number, y: number) => pixels[y * width + x];
  expect([at(0, 0), at(7, 0), at(0, 7), at(7, 7)]).toEqual([1, 65, 128, 255]);
  expect([at(8, 0), at(9, 7), at(0, 8), at(17, 17)]).toEqual([0, 0, 0, 0]);
  expect([at(10, 0), at(17, 7)]).toEqual([1, 1]);
  expect([at(0, 10), at(7, 10), at(0, 17), at(7, 17)]).toEqual([1, 1, 128, 255]);
});

it("averages the values that a pixel covers", () => {
  const data = Float32Array.from({ length: 256 }, (_, i) => (i % 16 < 8 ? i % 2 : 10 + (i % 2)));
  const { width, data: pixels } = drawTiles([1, 16, 16], data, { channels: 1, size: 8 });
  expect([...pixels.subarray(0, width)]).toEqual([1, 1, 1, 1, 255, 255, 255, 255]);
});

it("writes PNGs that a decoder reads", async () => {
  const data = Uint8Array.from({ length: 35 }, (_, i) => 7 * i);
  const png = await encodePng({ width: 7, height: 5, data });
  const { data: read, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  expect([width, height]).toEqual([7, 5]);
  expect([...data.keys()].map((i) => read[i * channels])).toEqual([...data]);
  expect(read[channels - 1]).toBe(0);
});

it("answers with the tiles of the layer that the library computes, and records it", async () => {
  const answer = await post("/layers?layer=features.3&channels=9&size=16");
  expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "image/png"]);
  expect(answer.headers.get("tensor-shape")).toBe("128,16,16");
  expect(answer.headers.get("server-timing")).toMatch(
    /^upload;dur=[\d.]+, decode;dur=[\d.]+, queue;dur=[\d.]+, run;dur=[\d.]+$/,
  );
  const input = await preprocess([fileOf(1)], used.model.preprocessing);
  const outputs = await used.model.forward(input, { outputs: ["features.3"] });
  const values = outputs["features.3"]!.data as Float32Array;
  const options = { channels: 9, size: 16 };
  const expected = await sharp(await encodePng(drawTiles([128, 16, 16], values, options)))
    .raw()
    .toBuffer();
  const received = await sharp(Buffer.from(await answer.arrayBuffer()))
    .raw()
    .toBuffer();
  expect(received.length).toBe(expected.length);
  // The sums of a shared run may differ in the last bit, and then a level by one.
  for (const [i, level] of expected.entries())
    expect(Math.abs(received[i]! - level)).toBeLessThanOrEqual(1);
  expect(used.records.at(-1)).toMatchObject({
    kind: "layers",
    model: "small",
    images: 1,
    outcome: "SUCCESS",
  });
});

it("names the layers with their shapes", async () => {
  const { layers } = (await (await app().request("/layers")).json()) as {
    layers: { name: string; shape: number[] }[];
  };
  expect(layers[0]).toEqual({ name: "features.0", shape: [64, 32, 32] });
  expect(layers.find(({ name }) => name === "classifier.6")?.shape).toEqual([10]);
});

it.each([
  ["/layers", 400, "Expected ?layer=NAME in the address, such as features.8"],
  ["/layers?layer=nope", 400, "Expected the name of a layer (features.0, features.1, "],
  ["/layers?layer=features.3&channels=0", 400, "Expected an integer from 1 to 512 for channels"],
  ["/layers?layer=features.3&size=129", 400, "Expected an integer from 8 to 128 for size"],
  ["/layers?layer=features.3&top=1", 400, "Expected only the options layer, channels, size"],
  ["/layers?layer=features.0", 413, "Expected an answer of at most 200000 bytes"],
  ["/layers?layer=features.3&model=nope", 404, "Request for unknown model"],
])("refuses %s with %d", async (path, status, message) => {
  const count = used.records.length;
  const answer = await post(path);
  expect(answer.status).toBe(status);
  expect(((await answer.json()) as { error: string }).error).toContain(message);
  expect(used.records.length).toBe(count + 1);
  expect(used.records.at(-1)).toMatchObject({ kind: "layers", status });
});

it("refuses two images, and an image that is none", async () => {
  const form = new FormData();
  for (const name of ["a", "b"]) form.append(name, new Blob([fileOf(1)]));
  const answer = await post("/layers?layer=features.3", form);
  expect([answer.status, ((await answer.json()) as { error: string }).error]).toEqual([
    400,
    "Expected one image for a layer but received 2",
  ]);
  expect((await post("/layers?layer=features.3", "no image")).status).toBe(400);
});

it("tells the times of /classify and /embed, and none of a failure", async () => {
  for (const path of ["/classify", "/embed"]) {
    const header = (await post(path)).headers.get("server-timing")!;
    expect(Number(/run;dur=([\d.]+)/.exec(header)![1])).toBeGreaterThan(0);
  }
  expect((await post("/classify", "no image")).headers.get("server-timing")).toBeNull();
});
