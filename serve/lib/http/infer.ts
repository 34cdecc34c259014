// Inference over REST: JSON, JSON with binary tensors behind it, and a raw body that is the one input's data.
import type { TensorMetadata } from "../engine/types.js";
import { ServeError } from "../errors.js";
import { invalid, shown } from "../protocol/expected.js";
import {
  bytesOfElements,
  checkDatatype,
  elementSize,
  elementsOf,
  readElements,
} from "../protocol/tensors.js";
import type { InferResponse, InputTensor } from "../protocol/types.js";
import { type BodyLimit, readBody } from "./body/body.js";
import type { Call, Handler, HttpLimits } from "./context.js";
import { jsonLengthHeader } from "./headers.js";
import { type ParsedInfer, parseInfer } from "./infer-request.js";
import { parseJson } from "./json.js";
import { jsonOfElements } from "./json-tensors.js";
import { largeAnswer } from "./reply.js";
import { termsOf } from "./terms.js";

/** Answers `POST /v2/models/M[/versions/V]/infer`. */
export const infer: Handler = async (call, { engine, limits }) => {
  const model = call.req.param("model")!;
  const version = call.req.param("version");
  // An unknown model is refused before its request is read.
  const { inputs } = engine.registry.metadata(model, version);
  const { bytes, request } = await readRequest(call, limits, inputs[0]!);
  const response = await engine.infer({
    ...termsOf(call, bytes, request.priority, request.timeoutMs),
    ...request.asked,
    model,
    version,
  });
  return answerOf(call, response, request, limits);
};

/** The limit of a body that is JSON alone, or of the JSON before tensors. */
export function jsonLimit(limits: HttpLimits, advice: string): BodyLimit {
  return { bytes: limits.jsonTensorBytes, advice: ` of JSON; ${advice}` };
}

const inferAdvice = `send tensors as binary data (${jsonLengthHeader}), or images as BYTES`;

/** Decides by the header with the JSON's length, never by the content type alone: clients send several or none. */
async function readRequest(
  call: Call,
  limits: HttpLimits,
  input: TensorMetadata,
): Promise<{ readonly bytes: number; readonly request: ParsedInfer }> {
  const length = jsonLengthOf(call.req.header(jsonLengthHeader));
  const isImage = /^image\//i.test(call.req.header("content-type") ?? "");
  const isJson = length === undefined && !isImage;
  const limit = isJson
    ? jsonLimit(limits, inferAdvice)
    : { bytes: limits.bodyBytes, advice: "; send fewer images in one request" };
  const body = await readBody(call, limit);
  const bytes = body.length;
  if (isJson) return { bytes, request: parseInfer(parseJson(body, "the body"), new Uint8Array()) };
  if (length === undefined || length === 0) return { bytes, request: rawRequest(input, body) };
  if (length > body.length)
    throw invalid(
      `an integer of at most ${body.length}, the bytes of the body,`,
      jsonLengthHeader,
      length,
    );
  if (length > limits.jsonTensorBytes)
    throw new ServeError(
      "TOO_LARGE",
      `Expected at most ${limits.jsonTensorBytes} bytes of JSON; ${inferAdvice}`,
    );
  const json = parseJson(body.subarray(0, length), "the beginning of the body");
  return { bytes, request: parseInfer(json, body.subarray(length)) };
}

function jsonLengthOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,12}$/.test(header)) return Number(header);
  throw invalid("the bytes of the JSON before the tensors", jsonLengthHeader, header);
}

/** Returns the request of a body that is the data of the model's input. Every output comes back as bytes. */
function rawRequest(input: TensorMetadata, body: Uint8Array): ParsedInfer {
  return {
    asked: { inputs: [rawInput(input, body)], outputs: [] },
    priority: undefined,
    timeoutMs: undefined,
    isBinary: () => true,
  };
}

function rawInput(
  { name, datatype: named, shape: known }: TensorMetadata,
  body: Uint8Array,
): InputTensor {
  const datatype = checkDatatype(named, "the datatype of the input");
  if (body.length === 0)
    throw new ServeError(
      "INVALID",
      `Expected the data of input ${shown(name)} but the body is empty`,
    );
  if (datatype === "BYTES") return { name, datatype, shape: [1], data: [body], parameters: {} };
  // The number of images is what the bytes amount to.
  const [, ...image] = known;
  const size = elementsOf(image, name) * elementSize(datatype);
  const shape = [Math.floor(body.length / size), ...image];
  const data = readElements(datatype, shape, body, `input ${shown(name)}`);
  return { name, datatype, shape, data, parameters: {} };
}

function answerOf(
  call: Call,
  { model, version, id, outputs }: InferResponse,
  { isBinary }: ParsedInfer,
  limits: HttpLimits,
): Promise<Response> {
  const parts: Uint8Array[] = [];
  const described = outputs.map(({ name, datatype, shape, data }) => {
    if (!isBinary(name)) {
      checkJsonSize(data.length, limits, "set binary_data_output");
      return { name, datatype, shape, data: jsonOfElements(data) };
    }
    const part = bytesOfElements(data);
    parts.push(part);
    return { name, datatype, shape, parameters: { binary_data_size: part.length } };
  });
  const json = JSON.stringify({
    model_name: model,
    model_version: version,
    id,
    outputs: described,
  });
  if (parts.length === 0) return largeAnswer(call, json, { "Content-Type": "application/json" });
  const head = Buffer.from(json, "utf8");
  return largeAnswer(call, Buffer.concat([head, ...parts]), {
    "Content-Type": "application/octet-stream",
    [jsonLengthHeader]: String(head.length),
  });
}

/** A number takes up to 20 characters; writing more of them than this would stop everything else for long. */
export function checkJsonSize(numbers: number, limits: HttpLimits, advice: string): void {
  const most = Math.floor(limits.jsonTensorBytes / 8);
  if (numbers <= most) return;
  throw new ServeError(
    "TOO_LARGE",
    `Expected at most ${most} numbers in an answer of JSON but it has ${numbers}; ${advice}`,
  );
}
