// A server of gRPC on a free port, and clients for it: @grpc/grpc-js and connect's own.
import { type DescMethod, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { afterEach } from "vitest";
import type { Engine } from "../../lib/engine/types.ts";
import { GRPCInferenceService } from "../../lib/grpc/gen/grpc_service_pb.ts";
import { Health } from "../../lib/grpc/gen/health_pb.ts";
import { GrpcServer, type GrpcSettings } from "../../lib/grpc/server.ts";

const ends: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

export interface Running {
  readonly server: GrpcServer;
  readonly port: number;
  /** What the server reported as its defects. */
  readonly defects: unknown[];
}

/** Starts a server that ends with the test. */
export async function start(engine: Engine, changes: Partial<GrpcSettings> = {}): Promise<Running> {
  const defects: unknown[] = [];
  const server = new GrpcServer(engine, {
    metadata: { name: "vgg-cudnn-serve", version: "0.1.0", extensions: ["statistics"] },
    gate: { admit: () => "a client" },
    maxMessageBytes: 64 << 20,
    maxBytesUnderWay: 256 << 20,
    maxConnections: 100,
    bodyTimeoutMs: 60_000,
    onDefect: (error) => defects.push(error),
    ...changes,
  });
  const { port } = await server.listen(0, "127.0.0.1");
  ends.push(() => server.close(0));
  return { server, port, defects };
}

/** connect's client. */
export function connectClient(port: number) {
  const transport = createGrpcTransport({
    baseUrl: `http://127.0.0.1:${port}`,
    // By Node's default of 10 MB a client that has more to send takes no answer.
    nodeOptions: { maxSessionMemory: 1000 },
  });
  return {
    inference: createClient(GRPCInferenceService, transport),
    health: createClient(Health, transport),
  };
}

/** What a call of grpc-js came to. */
export interface Outcome {
  readonly code: number;
  readonly details: string;
  readonly trailers: Record<string, unknown>;
  readonly message: unknown;
}

/** The client of grpc-js, as Triton's and KServe's users have it in Node. */
export function grpcClient(port: number, options: grpc.ClientOptions = {}) {
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    "grpc.enable_retries": 0,
    ...options,
  });
  ends.push(() => client.close());
  const codecs = (method: DescMethod) => ({
    path: `/${method.parent.typeName}/${method.name}`,
    write: (message: object) => Buffer.from(toBinary(method.input, message as never)),
    read: (bytes: Buffer) => fromBinary(method.output, bytes),
  });
  return {
    client,
    /** Makes a unary call. `during` gets the call, to cancel it. */
    call(
      method: DescMethod,
      message: object,
      {
        deadlineMs,
        metadata = new grpc.Metadata(),
        during,
      }: {
        deadlineMs?: number;
        metadata?: grpc.Metadata;
        during?: (call: grpc.ClientUnaryCall) => void;
      } = {},
    ): Promise<Outcome> {
      const { path, write, read } = codecs(method);
      return new Promise((resolve) => {
        let answer: unknown;
        const call = client.makeUnaryRequest(
          path,
          write,
          read,
          message,
          metadata,
          deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
          (_, value) => {
            answer = value;
          },
        );
        call.on("status", ({ code, details, metadata: trailers }) =>
          // The callback comes after this event.
          setImmediate(() =>
            resolve({ code, details, trailers: trailers.getMap(), message: answer }),
          ),
        );
        during?.(call);
      });
    },
    stream(method: DescMethod) {
      const { path, write, read } = codecs(method);
      return client.makeBidiStreamRequest(path, write, read);
    },
  };
}
