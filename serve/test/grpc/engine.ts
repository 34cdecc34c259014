// An engine without a network, for tests of the front end: it answers with what it was asked.
import { create } from "@bufbuild/protobuf";
import type { Engine, ModelIndexEntry } from "../../lib/engine/types.ts";
import { ServeError } from "../../lib/errors.ts";
import { ModelInferRequestSchema } from "../../lib/grpc/gen/grpc_service_pb.ts";
import { ModelCounts } from "../../lib/observe/statistics.ts";
import type { InferRequest, InferResponse } from "../../lib/protocol/types.ts";

/** The engine, and what tests see and set. */
export interface FakeEngine extends Engine {
  statistics: ModelCounts;
  /** The requests in the order of their arrival. */
  readonly requests: InferRequest[];
  /** What becomes of a request; the default is `countsOf`. */
  answer: (request: InferRequest) => Promise<InferResponse>;
  isReady: boolean;
  readonly loads: string[];
}

/** Answers with the number of elements of the first input, under the name that was asked for. */
export async function countsOf(request: InferRequest): Promise<InferResponse> {
  const [input] = request.inputs;
  const { name } = request.outputs[0] ?? { name: "probabilities" };
  return {
    model: request.model,
    version: request.version ?? "1",
    id: request.id,
    outputs: [
      { name, datatype: "FP32", shape: [1, 1], data: Float32Array.of(input?.data.length ?? 0) },
    ],
  };
}

/** Waits until the request's signal fires, and fails as the library does then. */
export function never({ signal }: InferRequest): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(new ServeError("CANCELED", "The client has left"));
    if (signal.aborted) fail();
    signal.addEventListener("abort", fail, { once: true });
  });
}

export function fakeEngine(): FakeEngine {
  const statistics = new ModelCounts();
  statistics.add("vgg11", "1");
  const models: ModelIndexEntry[] = [
    { name: "vgg11", version: "1", state: "READY", reason: "" },
    { name: "vgg16", version: "3", state: "UNAVAILABLE", reason: "The file is cut off" },
  ];
  const check = (name: string, version?: string) => {
    if (name === "vgg11" && (version ?? "1") === "1") return;
    throw new ServeError("NOT_FOUND", `Request for unknown model: '${name}' is not found`);
  };
  const tensor = (name: string, datatype: string, shape: number[]) => ({ name, datatype, shape });
  const engine: FakeEngine = {
    statistics,
    requests: [],
    loads: [],
    isReady: true,
    answer: countsOf,
    async infer(request) {
      engine.requests.push(request);
      check(request.model, request.version);
      return engine.answer(request);
    },
    classify: async () => [],
    embed: async () => ({ shape: [0, 0], data: new Float32Array() }),
    layer: async () => ({ shape: [0], data: new Float32Array() }),
    layers: () => new Map(),
    registry: {
      models: () => models,
      metadata(name, version) {
        check(name, version);
        return {
          name,
          versions: ["1"],
          platform: "vgg_cudnn",
          inputs: [tensor("image", "BYTES", [-1, 1])],
          outputs: [tensor("probabilities", "FP32", [-1, 1000])],
        };
      },
      config(name, version) {
        check(name, version);
        return {
          name,
          platform: "vgg_cudnn",
          backend: "vgg_cudnn",
          max_batch_size: 64,
          input: [{ name: "image", data_type: "TYPE_STRING", dims: [1] }],
          output: [{ name: "probabilities", data_type: "TYPE_FP32", dims: [1000] }],
          instance_group: [{ name: "cpu", kind: "KIND_CPU", count: 1, gpus: [] }],
          dynamic_batching: { preferred_batch_size: [1, 8] },
        };
      },
      async load(name) {
        if (name !== "vgg16") check(name);
        engine.loads.push(`load ${name}`);
      },
      async unload(name) {
        check(name);
        engine.loads.push(`unload ${name}`);
      },
    },
    health: {
      live: () => true,
      ready: () => (engine.isReady ? { ready: true } : { ready: false, reason: "draining" }),
      modelReady(name, version) {
        check(name, version);
        return engine.isReady;
      },
    },
  };
  return engine;
}

/** A request for one image, in the form of tritonclient. */
export function imageRequest(changes: object = {}) {
  const image = Buffer.from([3, 0, 0, 0, 1, 2, 3]);
  return create(ModelInferRequestSchema, {
    modelName: "vgg11",
    inputs: [{ name: "image", datatype: "BYTES", shape: [1n, 1n] }],
    rawInputContents: [image],
    ...changes,
  });
}
