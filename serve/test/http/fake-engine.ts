// An engine without a network: its values follow from the bytes that it is given, and it records what it is asked.
import type { Engine, InferenceRecord, Prediction } from "../../lib/engine/types.ts";
import { ServeError } from "../../lib/errors.ts";
import { classificationOf } from "../../lib/protocol/classification.ts";
import type { ImagesRequest, InferRequest, OutputTensor } from "../../lib/protocol/types.ts";

export const classes = 4;
export const labels = ["ant", "bee", "cat", "dog"];

/** What a test may change, and what the engine was asked. */
export interface FakeState {
  isLive: boolean;
  isReady: boolean;
  /** The listed input. */
  input: { name: string; datatype: string; shape: number[] };
  readonly requests: (InferRequest | ImagesRequest)[];
  readonly loaded: string[];
  /** Requests that were refused before the engine had them. */
  readonly refused: InferenceRecord[];
  /** Holds each call until it settles or the client leaves. */
  wait: ((signal: AbortSignal) => Promise<void>) | undefined;
}

/** Values of an image: as many at `first byte % classes` as the image has bytes. */
function valuesOf(image: Uint8Array): number[] {
  if (image.length === 0) throw new ServeError("INVALID", "Expected an image");
  const best = image[0]! % classes;
  return Array.from({ length: classes }, (_, index) => (index === best ? image.length : index / 8));
}

/** The images of a request to infer: the elements of BYTES, or the rows of numbers as bytes. */
function imagesOf({ inputs }: InferRequest): Uint8Array[] {
  const [input] = inputs;
  if (input === undefined || inputs.length !== 1)
    throw new ServeError("INVALID", "Expected exactly one input");
  if (Array.isArray(input.data)) return input.data as Uint8Array[];
  const { buffer, byteOffset, byteLength } = input.data as Float32Array;
  const count = input.shape[0]!;
  if (count === 0) throw new ServeError("INVALID", "Expected at least one image");
  const size = byteLength / count;
  return Array.from(
    { length: count },
    (_, image) => new Uint8Array(buffer, byteOffset + image * size, size),
  );
}

function outputOf(values: number[][], name: string, classification?: number): OutputTensor {
  if (!["probabilities", "logits"].includes(name))
    throw new ServeError("INVALID", `Expected another output than ${JSON.stringify(name)}`);
  const data = Float32Array.from(values.flat());
  const { length: count } = values;
  if (classification === undefined)
    return { name, datatype: "FP32", shape: [count, classes], data };
  const top = Math.min(classification, classes);
  const shape = [count, top];
  return { name, datatype: "BYTES", shape, data: classificationOf(data, classes, top, labels) };
}

function checkName(name: string | undefined, version: string | undefined): void {
  if ((name ?? "vgg11") === "vgg11" && (version ?? "1") === "1") return;
  throw new ServeError("NOT_FOUND", `Request for unknown model: '${name}' is not found`);
}

export function fakeEngine(): { engine: Engine; state: FakeState } {
  const state: FakeState = {
    isLive: true,
    isReady: true,
    input: { name: "image", datatype: "BYTES", shape: [-1, 1] },
    requests: [],
    loaded: [],
    refused: [],
    wait: undefined,
  };
  const started = async (request: InferRequest | ImagesRequest) => {
    checkName(request.model, request.version);
    state.requests.push(request);
    await state.wait?.(request.signal);
  };
  const predictionsOf = (image: Uint8Array, top: number): Prediction[] =>
    valuesOf(image)
      .map((probability, index) => ({ index, label: labels[index]!, probability }))
      .sort((a, b) => b.probability - a.probability)
      .slice(0, top);
  const output = { name: "probabilities", datatype: "FP32", shape: [-1, classes] };
  const duration = { count: 0, ns: 0 };
  const engine: Engine = {
    async infer(request) {
      await started(request);
      const values = imagesOf(request).map(valuesOf);
      const asked = request.outputs.length > 0 ? request.outputs : [{ name: "probabilities" }];
      const outputs = asked.map(({ name, ...rest }) =>
        outputOf(values, name, "classification" in rest ? rest.classification : undefined),
      );
      return { model: request.model, version: request.version ?? "1", id: request.id, outputs };
    },
    async classify(request) {
      await started(request);
      return request.images.map((image) => predictionsOf(image, request.top));
    },
    async embed(request) {
      await started(request);
      const rows = request.images.map(valuesOf);
      return { shape: [rows.length, classes], data: Float32Array.from(rows.flat()) };
    },
    async layer(request) {
      await started(request);
      const data = Float32Array.from(request.images.flatMap(valuesOf));
      return { shape: [classes, 1, 1], data };
    },
    layers(model, version) {
      checkName(model, version);
      return new Map([["features.0", [classes, 1, 1]]]);
    },
    registry: {
      models: () => [
        { name: "vgg11", version: "1", state: "READY", reason: "" },
        { name: "vgg16", version: "1", state: "UNAVAILABLE", reason: "unloaded" },
      ],
      metadata(name, version) {
        checkName(name, version);
        const { input } = state;
        return {
          name,
          versions: ["1"],
          platform: "vgg_cudnn",
          inputs: [input],
          outputs: [output],
        };
      },
      config(name, version) {
        checkName(name, version);
        return {
          name,
          platform: "vgg_cudnn",
          backend: "vgg_cudnn",
          max_batch_size: 8,
          input: [{ name: "image", data_type: "TYPE_STRING", dims: [1] }],
          output: [{ name: "probabilities", data_type: "TYPE_FP32", dims: [classes] }],
          instance_group: [{ name: "vgg11_0", kind: "KIND_CPU", count: 1, gpus: [] }],
          dynamic_batching: { preferred_batch_size: [8] },
        };
      },
      async load(name) {
        checkName(name, undefined);
        state.loaded.push(`load ${name}`);
      },
      async unload(name) {
        checkName(name, undefined);
        state.loaded.push(`unload ${name}`);
      },
    },
    statistics: {
      record: (record) => state.refused.push(record),
      statsOf(name, version) {
        if (name !== undefined) checkName(name, version);
        return [
          {
            name: "vgg11",
            version: "1",
            last_inference: 0,
            inference_count: 0,
            execution_count: 0,
            inference_stats: {
              success: duration,
              fail: duration,
              queue: duration,
              compute_input: duration,
              compute_infer: duration,
              compute_output: duration,
              cache_hit: duration,
              cache_miss: duration,
            },
            batch_stats: [],
          },
        ];
      },
    },
    health: {
      live: () => state.isLive,
      ready: () => (state.isReady ? { ready: true } : { ready: false, reason: "draining" }),
      modelReady(name, version) {
        checkName(name, version);
        return state.isReady;
      },
    },
  };
  return { engine, state };
}
