// Inference by the engine: the three forms of images, outputs and classes against the library, refusals and deadlines.
import { describe, expect, it } from "vitest";
import type { InferRequest, InputTensor } from "../../lib/protocol/types.ts";
import { expectClose, files, floats, logitsOf, request, softmaxOf } from "../support/requests.ts";
import { fileOf, labels, pixelsOf, side, terms, useSmallModel } from "../support/small-model.ts";

const server = useSmallModel({ imagesPerRequest: 8, outputBytes: 2 ** 20 });

describe("infer", () => {
  it("gives the probabilities of files, pixels and tensors", async () => {
    const pixels = new Uint8Array([...pixelsOf(1), ...pixelsOf(2)]);
    const { tensor, data } = await logitsOf(server.model, 1, 2);
    const inputs: Partial<InputTensor>[] = [
      files(1, 2),
      { name: "pixels", datatype: "UINT8", shape: [2, side, side, 3], data: pixels },
      { name: "input", datatype: "FP32", shape: [2, 3, side, side], data: tensor.data },
    ];
    for (const input of inputs) {
      const { model: name, version, outputs } = await server.engine.infer(request(input));
      expect([name, version, outputs.length]).toEqual(["small", "1", 1]);
      expect(outputs[0]).toMatchObject({ name: "probabilities", datatype: "FP32", shape: [2, 10] });
      const values = floats(outputs[0]!.data);
      expectClose(values.subarray(0, 10), softmaxOf(data.subarray(0, 10)));
      expectClose(values.subarray(10), softmaxOf(data.subarray(10)));
    }
  });

  it("gives logits, layers and probabilities together, and the id", async () => {
    const { tensor, data } = await logitsOf(server.model, 3);
    const names = ["features.8", "logits", "probabilities", "features"];
    const layers = await server.model.forward(tensor, { outputs: ["features.8", "features"] });
    for (const input of [
      files(3),
      { name: "input", datatype: "FP32", shape: [1, 3, side, side], data: tensor.data } as const,
    ]) {
      const asked = request(input, { id: "7", outputs: names.map((name) => ({ name })) });
      const { id, outputs } = await server.engine.infer(asked);
      expect([id, outputs.map(({ name }) => name)]).toEqual(["7", names]);
      expectClose(floats(outputs[0]!.data), layers["features.8"].data);
      expectClose(floats(outputs[1]!.data), data);
      expectClose(floats(outputs[2]!.data), softmaxOf(data));
      expect(outputs[3]!.shape).toEqual([1, 512, 1, 1]);
    }
  });

  it("gives the library's probabilities and logits of images to 1e-6", async () => {
    const pixels = new Uint8Array([...pixelsOf(6), ...pixelsOf(7)]);
    const inputs: Partial<InputTensor>[] = [
      files(6, 7),
      { name: "pixels", datatype: "UINT8", shape: [2, side, side, 3], data: pixels },
    ];
    const best = await server.model.classify([fileOf(6), fileOf(7)], { top: 10 });
    const expected = best.flatMap((classes) =>
      classes.toSorted((a, b) => a.index - b.index).map(({ probability }) => probability),
    );
    const { data } = await logitsOf(server.model, 6, 7);
    for (const input of inputs)
      for (const names of [["probabilities"], ["logits"], ["logits", "probabilities"]]) {
        const asked = request(input, { outputs: names.map((name) => ({ name })) });
        const { outputs } = await server.engine.infer(asked);
        expect(outputs.map(({ name }) => name)).toEqual(names);
        for (const output of outputs) {
          const wanted = output.name === "logits" ? data : expected;
          const scale = Math.max(1, ...wanted.map(Math.abs));
          for (const [i, value] of floats(output.data).entries())
            expect(Math.abs(value - wanted[i]!) / scale).toBeLessThan(1e-6);
        }
      }
  });

  it("gives the best classes as texts, of images and of tensors", async () => {
    const { tensor } = await logitsOf(server.model, 4);
    const [best] = await server.model.classify([fileOf(4)], { top: 10 });
    const inputs = [
      files(4),
      { name: "input", datatype: "FP32", shape: [1, 3, side, side], data: tensor.data } as const,
    ];
    for (const input of inputs) {
      const outputs = [{ name: "probabilities", classification: 3 }];
      const answer = await server.engine.infer(request(input, { outputs }));
      expect(answer.outputs[0]).toMatchObject({ datatype: "BYTES", shape: [1, 3] });
      const texts = (answer.outputs[0]!.data as Uint8Array[]).map((text) => `${Buffer.from(text)}`);
      for (const [rank, text] of texts.entries()) {
        const { index, label } = best![rank]!;
        expect(text).toMatch(new RegExp(`^0\\.\\d{6}:${index}:${label}$`));
      }
    }
    const all = [{ name: "logits", classification: 99 }];
    const answer = await server.engine.infer(request(files(4), { outputs: all }));
    expect(answer.outputs[0]!.shape).toEqual([1, 10]);
  });

  it("takes base64 and data: URLs", async () => {
    const expected = await server.engine.infer(request(files(5)));
    const base64 = Buffer.from(fileOf(5)).toString("base64");
    const text = (value: string) => ({ shape: [1], data: [Buffer.from(value)] });
    for (const input of [
      { ...text(base64), parameters: { content_type: "base64" } },
      text(`data:image/x-portable-pixmap;base64,${base64}`),
    ])
      expect((await server.engine.infer(request(input))).outputs).toEqual(expected.outputs);
  });

  const tensor = { name: "input", datatype: "FP32" } as const;
  const zeros = new Float32Array(3 * side * side);
  it.each<[string, Partial<InputTensor>, Partial<InferRequest>, number, string]>([
    [
      "no input",
      {},
      { inputs: [] },
      400,
      "Expected one input, one of image, pixels, input, but received 0",
    ],
    [
      "another input",
      { name: "img" },
      {},
      400,
      'Expected one of image, pixels, input for the name of the input but received "img"',
    ],
    [
      "another datatype",
      { datatype: "FP32", data: zeros },
      {},
      400,
      'Expected BYTES for the datatype of input image but received "FP32"',
    ],
    [
      "another shape",
      { ...tensor, shape: [1, side, side, 3], data: zeros },
      {},
      400,
      "Expected the shape [-1,3,32,32] for input input but received [1,32,32,3]",
    ],
    [
      "no image",
      { ...tensor, shape: [0, 3, side, side], data: new Float32Array() },
      {},
      400,
      "Expected the shape [-1,3,32,32] for input input but received [0,3,32,32]",
    ],
    [
      "too many images",
      files(1, 2, 3, 4, 5, 6, 7, 8, 9),
      {},
      413,
      "Expected at most 8 images in one request but received 9",
    ],
    [
      "an unknown output",
      files(1),
      { outputs: [{ name: "features.99" }] },
      400,
      'Expected probabilities, logits or the name of a layer, such as features.8, for the name of an output but received "features.99"',
    ],
    [
      "an output twice",
      files(1),
      { outputs: [{ name: "logits" }, { name: "logits" }] },
      400,
      'Expected each output once for the outputs but received "logits"',
    ],
    [
      "classification 0",
      files(1),
      { outputs: [{ name: "logits", classification: 0 }] },
      400,
      "Expected an integer above 0 for classification of output logits but received 0",
    ],
    [
      "large outputs",
      files(1, 2, 3, 4, 5),
      { outputs: [{ name: "features.0" }] },
      413,
      "Expected outputs of at most 1048576 bytes but these have 1310720; send fewer images in one request",
    ],
    [
      "a text as an image",
      { shape: [1], data: [Buffer.from("no image")] },
      {},
      400,
      "an image of 8 bytes: Expected a JPEG",
    ],
    [
      "a text as the second image",
      { shape: [2], data: [...files(1).data, Buffer.from("no image")] },
      {},
      400,
      "image 1, of 8 bytes: Expected a JPEG",
    ],
    [
      "a text as the second image, with logits",
      { shape: [2], data: [...files(1).data, Buffer.from("no image")] },
      { outputs: [{ name: "logits" }] },
      400,
      "image 1, of 8 bytes: Expected a JPEG",
    ],
    [
      "an address",
      { shape: [1], data: [Buffer.from("http://example.com/a.jpg")] },
      {},
      400,
      "the server fetches nothing",
    ],
    [
      "an empty element",
      { shape: [1], data: [new Uint8Array()] },
      {},
      400,
      "element 0 of input image is empty",
    ],
    [
      "base64 that is none",
      { shape: [1], data: [Buffer.from("???")], parameters: { content_type: "base64" } },
      {},
      400,
      "Expected base64 for element 0 of input image",
    ],
    [
      "an unknown model",
      files(1),
      { model: "nope" },
      404,
      "Request for unknown model: 'nope' is not found",
    ],
    [
      "an unknown version",
      files(1),
      { version: "2" },
      404,
      "Request for unknown model: 'small' version 2 is not found",
    ],
  ])("refuses %s", async (_, input, more, status, message) => {
    const error = await server.engine.infer(request(input, more)).catch((thrown) => thrown);
    expect(error.message).toContain(message);
    expect(error).toMatchObject({ name: "ServeError", status });
    expect(server.records.at(-1)).toMatchObject({ outcome: "OTHER", status });
  });

  it("ends with the client, and with the deadline", async () => {
    const left = AbortSignal.abort();
    await expect(server.engine.infer(request(files(1), { signal: left }))).rejects.toMatchObject({
      status: 499,
    });
    expect(server.records.at(-1)).toMatchObject({ outcome: "CANCELED" });
    await expect(
      server.engine.infer(request(files(1), { timeoutMs: 0.001 })),
    ).rejects.toMatchObject({ status: 504, message: "Request timeout expired" });
    expect(server.records.at(-1)).toMatchObject({ outcome: "REJECTED" });
    const controller = new AbortController();
    const leaving = server.engine.infer(request(files(1, 2, 3, 4), { signal: controller.signal }));
    controller.abort();
    await expect(leaving).rejects.toMatchObject({ status: 499 });
  });

  it("records what a request did", async () => {
    await server.engine.infer(request(files(1, 2), { id: "a" }));
    const record = server.records.at(-1)!;
    expect(record).toMatchObject({
      ...{ kind: "infer", model: "small", version: "1", id: "a", client: "test", images: 2 },
      ...{ outcome: "SUCCESS", status: 200 },
    });
    expect(record.runs.reduce((sum, { images }) => sum + images, 0)).toBe(2);
    expect(record.runMs).toBeGreaterThan(0);
    expect(record.totalMs).toBeGreaterThanOrEqual(record.runMs);
    expect(server.engine.statistics.statsOf("small")[0]!.inference_count).toBeGreaterThan(1);
  });
});

describe("classify and embed", () => {
  it("give what the library gives", async () => {
    const images = [fileOf(1), fileOf(2)];
    const [first] = await server.engine.classify({ ...terms(), images, top: 2 });
    const [expected] = await server.model.classify(images, { top: 2 });
    expect(first!.map(({ label }) => label)).toEqual(expected!.map(({ label }) => label));
    expect(labels).toContain(first![0]!.label);
    const { shape, data } = await server.engine.embed({
      ...terms(),
      ...{ model: "small", images, layer: "features", pool: "mean", normalize: true },
    });
    const known = await server.model.embed(images, {
      layer: "features",
      pool: "mean",
      normalize: true,
    });
    expect(shape).toEqual([2, 512]);
    expectClose(data, known.data);
  });

  it("refuse what they cannot do", async () => {
    const images = [fileOf(1)];
    const refused = async (call: Promise<unknown>) => call.catch(({ message }: Error) => message);
    const { engine } = server;
    expect(await refused(engine.classify({ ...terms(), images: [], top: 5 }))).toBe(
      "Expected an image but received none",
    );
    expect(await refused(engine.classify({ ...terms(), images, top: 0 }))).toBe(
      "Expected an integer above 0 for top but received 0",
    );
    expect(await refused(engine.embed({ ...terms(), images, layer: "classifier.9" }))).toBe(
      'Expected the name of a layer, such as classifier.4, for layer but received "classifier.9"',
    );
    expect(await refused(engine.embed({ ...terms(), images: Array(9).fill(images[0]) }))).toBe(
      "Expected at most 8 images in one request but received 9",
    );
  });
});
