// Calls 1 to 9 and 11: tritonclient over REST. Expected values come from the library.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Tensor, Vgg, version } from "vgg-cudnn";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { expectClasses, extensions, softmax } from "./expected.ts";
import { photos } from "./images.ts";
import { has, type Line, python } from "./programs.ts";

describe.runIf(has("python"))("tritonclient over REST", () => {
  const shared = inject("shared");
  const url = shared?.server.http;
  const call = (name: string, given: object = {}) => python("triton_http", name, { url, ...given });
  let model: Vgg;
  let outputs: Record<string, Tensor>;
  beforeAll(async () => {
    model = await Vgg.load(shared.weights.vgg11, { device: "cpu" });
    const image = new Tensor([1, 3, 224, 224], new Float32Array(readFileSync(shared.x).buffer));
    outputs = await model.forward(image, { outputs: ["classifier.6", "features.8"] });
  });
  afterAll(() => model?.dispose());

  it("1: says that the server and its models are ready, and an unknown one is not", async () => {
    expect(await call("health")).toEqual([
      { live: true, ready: true, models: [true, true, false] },
    ]);
  });

  it("2: reads the server's name, version and extensions", async () => {
    expect(await call("metadata")).toEqual([{ name: "vgg-cudnn-serve", version, extensions }]);
  });

  it("3: reads the model's metadata and configuration, and 404 for an unknown one", async () => {
    const [{ metadata, config, unknown }] = await call("model");
    expect(metadata).toMatchObject({
      name: "vgg11",
      versions: ["1"],
      platform: "vgg_cudnn",
      inputs: [{ name: "image", datatype: "BYTES", shape: [-1, 1] }],
      outputs: [{ name: "probabilities", datatype: "FP32", shape: [-1, 1000] }],
    });
    expect(config).toMatchObject({ name: "vgg11", max_batch_size: 8 });
    expect(unknown).toEqual({
      type: "InferenceServerException",
      status: "404",
      message: "Request for unknown model: 'nope' is not found",
    });
  });

  it("4: classifies a JPEG that is sent as BYTES", async () => {
    const [{ shape, classes }] = await call("classify", { images: [photos[0]] });
    expect(shape).toEqual([1, 5]);
    expectClasses(photos.slice(0, 1), classes);
  });

  it("5: classifies three images of one request in their order", async () => {
    const images = photos.slice(1, 4);
    const [{ shape, classes }] = await call("classify", { images, shape: [3] });
    expect(shape).toEqual([3, 5]);
    expectClasses(images, classes);
  });

  const expectProbabilities = (values: number[][]) => {
    const expected = softmax(outputs["classifier.6"]!.data as Float32Array);
    expect(values.map(({ length }) => length)).toEqual([1000]);
    expect(Math.abs(values[0]!.reduce((a, b) => a + b) - 1)).toBeLessThan(1e-5);
    const off = expected.map((value, at) => Math.abs(value - values[0]![at]!));
    expect(Math.max(...off)).toBeLessThan(1e-6);
  };
  const output = { name: "probabilities", datatype: "FP32", shape: [1, 1000] };

  it("6: gives the probabilities of a tensor as bytes if no output is named", async () => {
    const [given] = await call("probabilities", { x: shared.x, binary: true });
    expect(given.output).toEqual({ ...output, parameters: { binary_data_size: 4000 } });
    expectProbabilities(given.values);
  });

  it("7: gives the same probabilities if the tensor and the answer are JSON", async () => {
    const [given] = await call("probabilities", { x: shared.x, binary: false });
    expect(given.output).toEqual(output);
    expectProbabilities(given.values);
  });

  it("8: gives logits and the output of a layer as `forward` does", async () => {
    const { folder, x } = shared;
    const lines = await call("layers", { x, names: ["logits", "features.8"], folder });
    for (const [name, of] of [
      ["logits", "classifier.6"],
      ["features.8", "features.8"],
    ] as const) {
      const { shape, data } = outputs[of]!;
      expect(lines).toContainEqual({ name, shape: [...shape], dtype: "float32" });
      const values = new Float32Array(new Uint8Array(readFileSync(join(folder, name))).buffer);
      expect(values.length).toBe(data.length);
      // Runs of other sizes may differ by this part of the greatest value.
      const most = data.reduce((greatest, value) => Math.max(greatest, Math.abs(value)), 0);
      const off = values.reduce((far, value, at) => Math.max(far, Math.abs(value - data[at]!)), 0);
      expect(off / most).toBeLessThan(1e-5);
    }
  });

  it.each(["gzip", "deflate"])("9: packs the request and the answer with %s", async (name) => {
    const [{ classes }] = await call("classify", { images: [photos[0]], compression: name });
    expectClasses(photos.slice(0, 1), classes);
  });

  it("11: answers 400 to wrong requests, names the field, and goes on with the connection", async () => {
    const text = join(shared.folder, "text.txt");
    writeFileSync(text, "Expected an image but this is a text.");
    const { x } = shared;
    const lines = await call("bad", { images: [photos[0]], text, x });
    const messages = Object.fromEntries(
      lines.map(({ name, status, body, same }: Line) => {
        expect([name, status, same]).toEqual([name, name === "right" ? 200 : 400, true]);
        return [name, body === "" ? "" : JSON.parse(body).error];
      }),
    );
    expect(messages).toEqual({
      shape: expect.stringContaining("input"),
      size: expect.stringContaining("image"),
      channels: expect.stringContaining("input"),
      "left over": expect.stringContaining("10 bytes behind the JSON"),
      output: expect.stringContaining("nope"),
      text: expect.stringContaining("image"),
      right: "",
    });
  });
});
