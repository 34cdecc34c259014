// Calls of gRPC frame by frame, for what no client library would send.
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { ModelInferRequestSchema } from "../../lib/grpc/gen/grpc_service_pb.ts";

/** What came back: the status, or null if the stream ended without one. */
export interface Answer {
  readonly status: number | null;
  readonly message: string;
  readonly headers: Record<string, unknown>;
  readonly http: number;
}

/** Prefixes a message with its flag and length. */
export function envelope(message: Uint8Array, flag = 0, length = message.length): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, message]);
}

/** The bytes of a good request. */
export function goodMessage(): Uint8Array {
  return toBinary(
    ModelInferRequestSchema,
    create(ModelInferRequestSchema, {
      modelName: "vgg11",
      id: "1",
      parameters: { timeout: { parameterChoice: { case: "int64Param", value: 10_000_000n } } },
      inputs: [{ name: "image", datatype: "BYTES", shape: [1n, 1n] }],
      outputs: [{ name: "probabilities" }],
      rawInputContents: [Buffer.from([3, 0, 0, 0, 1, 2, 3])],
    }),
  );
}

export class FrameClient {
  readonly session: ClientHttp2Session;

  constructor(port: number) {
    this.session = connect(`http://127.0.0.1:${port}`);
    this.session.on("error", () => {});
  }

  /** Sends a body, and ends it if `end` is true. Reads the answer if `isRead` is true. Resolves when the stream has closed. */
  send(
    body: Uint8Array,
    {
      path = "/inference.GRPCInferenceService/ModelInfer",
      headers = {},
      end = true,
      isRead = true,
    }: { path?: string; headers?: OutgoingHttpHeaders; end?: boolean; isRead?: boolean } = {},
  ): Promise<Answer> {
    return new Promise((resolve) => {
      const stream = this.session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
        ...headers,
      });
      const got: Record<string, unknown> = {};
      stream.on("response", (fields) => Object.assign(got, fields));
      stream.on("trailers", (fields) => Object.assign(got, fields));
      stream.on("error", () => {});
      stream.on("close", () =>
        resolve({
          status: got["grpc-status"] === undefined ? null : Number(got["grpc-status"]),
          message: decodeURIComponent(String(got["grpc-message"] ?? "")),
          headers: got,
          http: Number(got[":status"] ?? 0),
        }),
      );
      if (isRead) stream.resume();
      if (end) stream.end(body);
      else stream.write(body);
    });
  }

  close(): void {
    this.session.destroy();
  }
}
