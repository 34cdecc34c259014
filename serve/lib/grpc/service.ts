// The calls of inference.GRPCInferenceService. Those that are absent here answer UNIMPLEMENTED.
import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import type { Engine } from "../engine/types.js";
import { ServeError } from "../errors.js";
import { callKey } from "./call.js";
import { failureOf, toConnectError } from "./errors.js";
import {
  type GRPCInferenceService,
  type ModelInferRequest,
  type ModelInferResponse,
  ModelInferResponseSchema,
  ModelStatisticsResponseSchema,
  type ModelStreamInferResponse,
  ModelStreamInferResponseSchema,
} from "./gen/grpc_service_pb.js";
import { ModelConfigSchema } from "./gen/model_config_pb.js";
import { inOrder } from "./in-order.js";
import { readRequest, writeResponse } from "./messages.js";

/** What the service says about the server. */
export interface ServerMetadata {
  readonly name: string;
  readonly version: string;
  readonly extensions: readonly string[];
}

/** Requests of one stream that are under way at the same time. */
const maxStreamRequests = 64;

type Service = Partial<ServiceImpl<typeof GRPCInferenceService>>;

/** @param draining ends the reading of open streams when the server stops */
export function inferenceService(
  engine: Engine,
  metadata: ServerMetadata,
  draining: AbortSignal,
): Service {
  return {
    ...healthCalls(engine),
    ...modelCalls(engine, metadata),
    ...repositoryCalls(engine),
    modelInfer: (message, context) =>
      answered(context, (bytes) => infer(engine, message, context, bytes)),
    async *modelStreamInfer(messages, context) {
      const work = (message: ModelInferRequest) => inferInStream(engine, message, context);
      for await (const answer of inOrder(messages, work, maxStreamRequests, draining)) {
        yield answer;
        // The client has taken it as soon as the next one is asked for.
        context.values.get(callKey).release(bytesOf(answer.inferResponse));
      }
    },
  };
}

/** Does the work for one message, and turns whatever it throws into gRPC's errors. */
async function answered<T>(
  context: HandlerContext,
  work: (bytes: number) => T | Promise<T>,
): Promise<T> {
  const call = context.values.get(callKey);
  let bytes = 0;
  try {
    bytes = call.takeMessage();
    return await work(bytes);
  } catch (error) {
    const failure = failureOf(error, context.signal);
    // The engine reports its own.
    if (failure.kind === "INTERNAL" && failure !== error) call.onDefect(error);
    throw toConnectError(failure);
  } finally {
    call.release(bytes);
  }
}

async function infer(
  engine: Engine,
  message: ModelInferRequest,
  context: HandlerContext,
  bytes: number,
): Promise<ModelInferResponse> {
  context.signal.throwIfAborted();
  const call = context.values.get(callKey);
  const request = readRequest(message, {
    client: call.client,
    signal: context.signal,
    timeoutMs: context.timeoutMs(),
    bytes,
    traceparent: context.requestHeader.get("traceparent") ?? undefined,
  });
  const answer = writeResponse(await engine.infer(request));
  // A client that does not read its answers must not fill the memory.
  call.hold(bytesOf(answer));
  return answer;
}

function bytesOf(answer: ModelInferResponse | undefined): number {
  return answer?.rawOutputContents.reduce((sum, { length }) => sum + length, 0) ?? 0;
}

/** Answers one request of a stream. A failure is a message: the stream goes on. */
async function inferInStream(
  engine: Engine,
  message: ModelInferRequest,
  context: HandlerContext,
): Promise<ModelStreamInferResponse> {
  try {
    const inferResponse = await answered(context, (bytes) =>
      infer(engine, message, context, bytes),
    );
    return create(ModelStreamInferResponseSchema, { inferResponse });
  } catch (error) {
    return create(ModelStreamInferResponseSchema, {
      errorMessage: ConnectError.from(error).rawMessage,
      inferResponse: create(ModelInferResponseSchema, {
        modelName: message.modelName,
        modelVersion: message.modelVersion,
        id: message.id,
      }),
    });
  }
}

function healthCalls({ health }: Engine): Service {
  return {
    serverLive: (_, context) => answered(context, () => ({ live: health.live() })),
    serverReady: (_, context) => answered(context, () => ({ ready: health.ready().ready })),
    // Triton's and KServe's clients expect false for an unknown model, and raise an error for a status.
    modelReady: ({ name, version }, context) =>
      answered(context, () => {
        try {
          return { ready: health.modelReady(name, version || undefined) };
        } catch (error) {
          if (failureOf(error).kind === "NOT_FOUND") return { ready: false };
          throw error;
        }
      }),
  };
}

function modelCalls({ registry, statistics }: Engine, server: ServerMetadata): Service {
  return {
    serverMetadata: (_, context) =>
      answered(context, () => ({ ...server, extensions: [...server.extensions] })),
    modelMetadata: ({ name, version }, context) =>
      answered(context, () => {
        const { versions, inputs, outputs, ...metadata } = registry.metadata(
          name,
          version || undefined,
        );
        const tensors = (list: typeof inputs) =>
          list.map(({ shape, ...tensor }) => ({ ...tensor, shape: shape.map(BigInt) }));
        return {
          ...metadata,
          versions: [...versions],
          inputs: tensors(inputs),
          outputs: tensors(outputs),
        };
      }),
    modelConfig: ({ name, version }, context) =>
      answered(context, () => {
        const config = registry.config(name, version || undefined);
        return { config: fromJson(ModelConfigSchema, config as unknown as JsonValue, lenient) };
      }),
    modelStatistics: ({ name, version }, context) =>
      answered(context, () => {
        // An unknown model is an error, and not an empty answer.
        if (name !== "") registry.metadata(name, version || undefined);
        const stats = statistics.statsOf(name || undefined, version || undefined);
        const json = { model_stats: stats } as unknown as JsonValue;
        return fromJson(ModelStatisticsResponseSchema, json, lenient);
      }),
  };
}

const lenient = { ignoreUnknownFields: true };

function repositoryCalls({ registry }: Engine): Service {
  return {
    repositoryIndex: ({ ready }, context) =>
      answered(context, () => ({
        models: registry
          .models()
          .filter(({ state }) => !ready || state === "READY")
          .map((entry) => ({ ...entry })),
      })),
    repositoryModelLoad: (request, context) =>
      answered(context, async () => {
        const given = Object.keys(request.parameters);
        if (given.length > 0)
          throw new ServeError(
            "INVALID",
            `Expected no parameters of a load: configurations and files of a client are not taken`,
          );
        const name = modelOf(request);
        await registry.load(name);
        return { modelName: name, isLoaded: true };
      }),
    repositoryModelUnload: (request, context) =>
      answered(context, async () => {
        const name = modelOf(request);
        await registry.unload(name);
        return { modelName: name, isUnloaded: true };
      }),
  };
}

/** Returns the model to load or unload. KServe's clients send it in the field that is Triton's repository_name. */
function modelOf(request: { modelName: string; repositoryName: string }): string {
  return request.modelName || request.repositoryName;
}
