// The operations of the OpenAPI document: what each takes and answers.
import { jsonLengthHeader, shapeHeader, timingHeader } from "../headers.js";
import { leastSize, mostChannels, mostSize, usualChannels, usualSize } from "../tiles/tiles.js";
import { ref, type Schema } from "./schemas.js";

/** What the document says of an operation, besides its path. */
export interface Operation {
  readonly summary: string;
  readonly parameters?: readonly Schema[];
  readonly body?: {
    readonly required: boolean;
    readonly content: Readonly<Record<string, Schema>>;
  };
  readonly answer: {
    readonly content: Readonly<Record<string, Schema>>;
    readonly headers?: Schema;
  };
  /** The statuses of failures, besides 401, 429 and 500, which every call may have. */
  readonly failures: readonly number[];
}

const json = "application/json";
const bytes = "application/octet-stream";
const raw: Schema = { type: "string", contentMediaType: bytes };
const answers = (schema: Schema) => ({ content: { [json]: schema } });
const lengthHeader = {
  [jsonLengthHeader]: {
    description: "Bytes of the JSON; the tensors' bytes follow.",
    schema: { type: "integer", minimum: 0 },
  },
};
const timing = {
  [timingHeader]: {
    description: "Milliseconds of upload, decode, queue and run, such as `run;dur=12.5`.",
    schema: { type: "string" },
  },
};
/** What a call that runs a model may fail with. */
const workFailures = [400, 404, 413, 415, 503, 504];

function query(name: string, schema: Schema, description: string): Schema {
  return { name, in: "query", required: false, schema, description };
}

const imageParameters = [
  query("model", { type: "string" }, "Which model. The only one may be omitted."),
  query("version", { type: "string" }, "Default: the newest."),
  query("priority", { type: "integer", minimum: 0, default: 0 }, "1 runs first; 0 is the default."),
  query(
    "timeoutMs",
    { type: "integer", minimum: 0 },
    "Milliseconds to wait at most. Default: the model's.",
  ),
];
const imageBody = {
  required: true,
  content: {
    "image/*": raw,
    [bytes]: raw,
    "multipart/form-data": ref("Form"),
    [json]: ref("DataUrls"),
  },
};

/** The operations by the names that routes have. */
export const operations: Readonly<Record<string, Operation>> = {
  live: { summary: "Whether a device works", answer: answers(ref("Health")), failures: [] },
  ready: { summary: "Whether every model can serve", answer: answers(ref("Health")), failures: [] },
  server: { summary: "Name, version, extensions", answer: answers(ref("Server")), failures: [] },
  models: { summary: "The names of the models", answer: answers(ref("Models")), failures: [] },
  allStatistics: {
    summary: "The statistics of every model",
    answer: answers(ref("Statistics")),
    failures: [],
  },
  model: {
    summary: "The inputs and outputs of a model",
    answer: answers(ref("Model")),
    failures: [404],
  },
  modelReady: {
    summary: "Whether a model can serve",
    answer: answers(ref("ModelReady")),
    failures: [404],
  },
  modelConfig: {
    summary: "A model's configuration, as Triton has it",
    answer: answers(ref("ModelConfig")),
    failures: [404],
  },
  modelStatistics: {
    summary: "The statistics of a model",
    answer: answers(ref("Statistics")),
    failures: [404],
  },
  infer: {
    summary: "Run a model on images, pixels or tensors",
    parameters: [
      {
        name: jsonLengthHeader,
        in: "header",
        required: false,
        schema: { type: "integer", minimum: 0 },
        description:
          "Bytes of the JSON before binary tensors. 0: the whole body is the data of the model's input.",
      },
    ],
    body: {
      required: true,
      content: { [json]: ref("InferRequest"), [bytes]: raw, "image/*": raw },
    },
    answer: {
      content: { [json]: ref("InferResponse"), [bytes]: raw },
      headers: lengthHeader,
    },
    failures: workFailures,
  },
  repositoryIndex: {
    summary: "Every version and its state",
    body: { required: false, content: { [json]: ref("RepositoryIndexRequest") } },
    answer: answers(ref("RepositoryIndex")),
    failures: [400, 413, 415],
  },
  repositoryLoad: {
    summary: "Load a model, or load it anew beside the present one",
    body: { required: false, content: { [json]: ref("RepositoryRequest") } },
    answer: answers(ref("Loaded")),
    failures: [400, 404, 413, 415, 503],
  },
  repositoryUnload: {
    summary: "Unload a model",
    body: { required: false, content: { [json]: ref("RepositoryRequest") } },
    answer: answers(ref("Unloaded")),
    failures: [400, 404, 413, 415, 503],
  },
  classify: {
    summary: "The best classes of images",
    parameters: [
      query("top", { type: "integer", minimum: 1, default: 5 }, "The number of classes."),
      ...imageParameters,
    ],
    body: imageBody,
    answer: { ...answers(ref("Classified")), headers: timing },
    failures: workFailures,
  },
  embed: {
    summary: "Vectors of images",
    parameters: [
      query(
        "layer",
        { type: "string", default: "classifier.4" },
        "The layer whose output is taken.",
      ),
      query(
        "pool",
        { type: "string", enum: ["mean", "max"] },
        "Reduces each channel of a layer with height and width to one value. Default: none.",
      ),
      query(
        "normalize",
        { type: "boolean", default: false },
        "Divides each vector by its L2 norm.",
      ),
      ...imageParameters,
    ],
    body: imageBody,
    answer: {
      content: { [json]: ref("Embedded"), [bytes]: raw },
      headers: {
        ...timing,
        [shapeHeader]: {
          description: "Images and values, such as 2,4096; for an answer in little-endian float32.",
          schema: { type: "string" },
        },
      },
    },
    failures: workFailures,
  },
  layers: {
    summary: "The channels of a layer, as tiles of an image",
    parameters: [
      {
        ...query("layer", { type: "string" }, "The layer, such as features.8."),
        required: true,
      },
      query(
        "channels",
        { type: "integer", minimum: 1, maximum: mostChannels, default: usualChannels },
        "The most channels; the first ones are drawn.",
      ),
      query(
        "size",
        { type: "integer", minimum: leastSize, maximum: mostSize, default: usualSize },
        "The most pixels of a tile's longer side.",
      ),
      ...imageParameters,
    ],
    body: imageBody,
    answer: {
      content: { "image/png": { type: "string", contentMediaType: "image/png" } },
      headers: {
        ...timing,
        [shapeHeader]: {
          description: "The shape of the layer's output, such as 64,224,224.",
          schema: { type: "string" },
        },
      },
    },
    failures: workFailures,
  },
  layerNames: {
    summary: "The layers of a model, and the shapes of their outputs for one image",
    parameters: imageParameters.slice(0, 2),
    answer: answers(ref("Layers")),
    failures: [400, 404, 503],
  },
  openApi: {
    summary: "This document",
    answer: answers({ type: "object" }),
    failures: [],
  },
};
