// The schemas of the OpenAPI document: what requests and answers hold. JSON Schema, as OpenAPI 3.1 has it.
import { datatypes } from "../../protocol/tensors.js";

/** A JSON Schema. */
export type Schema = Readonly<Record<string, unknown>>;

/** Returns a reference to a schema of the document. */
export function ref(name: keyof typeof schemas): Schema {
  return { $ref: `#/components/schemas/${name}` };
}

const text: Schema = { type: "string" };
const flag: Schema = { type: "boolean" };
const count: Schema = { type: "integer", minimum: 0 };
const shape: Schema = { type: "array", items: { type: "integer", minimum: -1 } };
const listOf = (items: Schema): Schema => ({ type: "array", items });
const local = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

/** An object; every property is required but those that are named optional. */
function object(
  properties: Readonly<Record<string, Schema>>,
  optional: readonly string[] = [],
): Schema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: "object", properties, ...(required.length > 0 && { required }) };
}

const tensorMetadata = object({ name: text, datatype: text, shape });
const configTensor = object({ name: text, data_type: text, dims: shape });
const duration = object({ count, ns: count });
const durations = (names: readonly string[]): Schema =>
  object(Object.fromEntries(names.map((name) => [name, duration])));
const computations = ["compute_input", "compute_infer", "compute_output"];

/** The schemas by name. */
export const schemas = {
  Error: { ...object({ error: text }), description: "Every failure." },
  Health: object({ live: flag, ready: flag, reason: text }, ["reason"]),
  Server: object({ name: text, version: text, extensions: listOf(text) }),
  Models: object({ models: listOf(text) }),
  Model: object({
    name: text,
    versions: listOf(text),
    platform: text,
    inputs: listOf(tensorMetadata),
    outputs: listOf(tensorMetadata),
  }),
  ModelReady: object({ name: text, ready: flag }),
  ModelConfig: object({
    name: text,
    platform: text,
    backend: text,
    max_batch_size: count,
    input: listOf(configTensor),
    output: listOf(configTensor),
    instance_group: listOf(
      object({
        name: text,
        kind: { type: "string", enum: ["KIND_CPU", "KIND_GPU"] },
        count,
        gpus: listOf(count),
      }),
    ),
    dynamic_batching: object({ preferred_batch_size: listOf(count) }),
  }),
  Statistics: object({
    model_stats: listOf(
      object({
        name: text,
        version: text,
        last_inference: { ...count, description: "Milliseconds since 1970." },
        inference_count: { ...count, description: "Images." },
        execution_count: { ...count, description: "Runs of the device." },
        inference_stats: durations([
          ...["success", "fail", "queue", "cache_hit", "cache_miss"],
          ...computations,
        ]),
        response_stats: { type: "object" },
        batch_stats: listOf(
          object({
            batch_size: count,
            ...Object.fromEntries(computations.map((name) => [name, duration])),
          }),
        ),
        memory_usage: listOf({ type: "object" }),
      }),
    ),
  }),
  InferRequest: object(
    {
      id: text,
      parameters: {
        type: "object",
        properties: {
          priority: { ...count, description: "1 runs first; 0 is the default." },
          timeout: { ...count, description: "Microseconds." },
          binary_data_output: flag,
        },
      },
      inputs: listOf(
        object(
          {
            name: { ...text, description: "`image`, `pixels` or `input`." },
            shape: { ...shape, description: "The first dimension is the number of images." },
            datatype: { type: "string", enum: [...datatypes] },
            parameters: {
              type: "object",
              properties: {
                binary_data_size: count,
                content_type: {
                  const: "base64",
                  description: "The texts of `data` are base64. `data:` URLs need no such word.",
                },
              },
            },
            data: { type: "array", description: "Flat, or nested as the shape is." },
          },
          ["parameters", "data"],
        ),
      ),
      outputs: listOf(
        object(
          {
            name: text,
            parameters: {
              type: "object",
              properties: {
                classification: { ...count, description: "The number of best classes, as texts." },
                binary_data: flag,
              },
            },
          },
          ["parameters"],
        ),
      ),
    },
    ["id", "parameters", "outputs"],
  ),
  InferResponse: object(
    {
      model_name: text,
      model_version: text,
      id: text,
      outputs: listOf(
        object(
          {
            name: text,
            datatype: { type: "string", enum: ["FP32", "BYTES"] },
            shape: listOf(count),
            parameters: object({ binary_data_size: count }),
            data: {
              type: "array",
              items: { type: ["number", "string", "null"] },
              description: "Row-major. NaN and infinity are null.",
            },
          },
          ["parameters", "data"],
        ),
      ),
    },
    ["id"],
  ),
  RepositoryIndexRequest: object({ ready: flag }, ["ready"]),
  RepositoryIndex: listOf(
    object({
      name: text,
      version: text,
      state: { type: "string", enum: ["READY", "UNAVAILABLE", "LOADING", "UNLOADING", "UNKNOWN"] },
      reason: text,
    }),
  ),
  RepositoryRequest: object({ parameters: { type: "object" } }, ["parameters"]),
  Loaded: object({ name: text, load: { const: true } }),
  Unloaded: object({ name: text, unload: { const: true } }),
  DataUrls: {
    description: "A `data:` URL in base64, or a list of them.",
    oneOf: [text, listOf(text)],
  },
  Form: {
    type: "object",
    description: "Each part is a file with an image, of any name.",
    additionalProperties: { type: "string", contentMediaType: "application/octet-stream" },
  },
  Predictions: listOf(
    object({
      index: count,
      label: text,
      probability: { type: ["number", "null"], description: "0 … 1; NaN is null." },
    }),
  ),
  Classified: {
    description: "The best classes of one image; of several, a list for each.",
    oneOf: [local("Predictions"), listOf(local("Predictions"))],
  },
  Layers: object({ layers: listOf(object({ name: text, shape })) }),
  Embedding: listOf({ type: ["number", "null"] }),
  Embedded: {
    description: "The vector of one image; of several, a vector for each.",
    oneOf: [local("Embedding"), listOf(local("Embedding"))],
  },
} satisfies Record<string, Schema>;
