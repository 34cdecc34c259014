// Requests and answers of inference as gRPC's messages.
import { create } from "@bufbuild/protobuf";
import { ServeError } from "../errors.js";
import { bytesOfElements } from "../protocol/tensors.js";
import type { InferRequest, InferResponse, RequestedOutput } from "../protocol/types.js";
import {
  type ModelInferRequest,
  type ModelInferResponse,
  ModelInferResponseSchema,
} from "./gen/grpc_service_pb.js";
import { readCount, readInputs, readParameters } from "./tensors.js";

/** What the call around a message says. */
export interface CallTerms {
  readonly client: string;
  readonly signal: AbortSignal;
  /** What is left of the `grpc-timeout`. */
  readonly timeoutMs: number | undefined;
  /** Bytes of the message as it came. */
  readonly bytes: number;
  readonly traceparent: string | undefined;
}

/**
 * Reads a request. Parameters that this server has no use for are let pass, such as perf_analyzer's
 * `triton_enable_empty_final_response`.
 * @throws {ServeError} INVALID
 */
export function readRequest(message: ModelInferRequest, call: CallTerms): InferRequest {
  const parameters = readParameters(message.parameters, "the request");
  const timeoutUs = readCount(parameters.timeout, "timeout");
  const limits = [
    // 0 stands for no timeout.
    ...(timeoutUs ? [timeoutUs / 1000] : []),
    ...(call.timeoutMs === undefined ? [] : [Math.max(0, call.timeoutMs)]),
  ];
  return {
    model: message.modelName,
    version: message.modelVersion || undefined,
    id: message.id || undefined,
    priority: readCount(parameters.priority, "priority") ?? 0,
    timeoutMs: limits.length === 0 ? undefined : Math.min(...limits),
    inputs: readInputs(message),
    outputs: message.outputs.map(readOutput),
    client: call.client,
    signal: call.signal,
    origin: { protocol: "grpc", bytes: call.bytes, traceparent: call.traceparent },
  };
}

function readOutput(
  output: ModelInferRequest["outputs"][number],
  index: number,
  all: ModelInferRequest["outputs"],
): RequestedOutput {
  const name = `the output ${JSON.stringify(output.name.slice(0, 64))}`;
  if (all.findIndex((other) => other.name === output.name) < index)
    throw new ServeError("INVALID", `Expected each output once but received ${name} twice`);
  const parameters = readParameters(output.parameters, name);
  const classification = readCount(parameters.classification, "classification");
  if (classification === 0)
    throw new ServeError(
      "INVALID",
      `Expected at least 1 for the parameter classification of ${name}`,
    );
  return { name: output.name, classification };
}

/** Writes an answer. The outputs' bytes share the memory of the outputs. */
export function writeResponse(response: InferResponse): ModelInferResponse {
  return create(ModelInferResponseSchema, {
    modelName: response.model,
    modelVersion: response.version,
    id: response.id ?? "",
    outputs: response.outputs.map(({ name, datatype, shape }) => ({
      name,
      datatype,
      shape: shape.map(BigInt),
    })),
    rawOutputContents: response.outputs.map(({ data }) => bytesOfElements(data)),
  });
}
