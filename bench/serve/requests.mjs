// The requests of bench/serve.mjs: for each kind of body its bytes, and how each server is asked.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import sharp from "sharp";
import { Tensor } from "../../dist/index.js";
import {
  ModelInferRequestSchema,
  ModelInferResponseSchema,
} from "../../serve/dist/grpc/gen/grpc_service_pb.js";

const side = 224;

/** What is sent, and what a server of each protocol makes of it. */
export const kinds = {
  pixels: {
    tensor: { name: "pixels", datatype: "UINT8", shape: [1, side, side, 3] },
    output: "probabilities",
  },
  input: {
    tensor: { name: "input", datatype: "FP32", shape: [1, 3, side, side] },
    output: "logits",
  },
  jpeg: {},
};

/** Writes the bytes of one image in each form: `input` comes from the benchmark's images, float32. */
export async function writeBodies(folder, images) {
  const input = readFileSync(images).subarray(0, 4 * 3 * side * side);
  const raw = { width: 32, height: 24, channels: 3 };
  const coarse = Uint8Array.from(Tensor.randn([24 * 32 * 3], 1).data, (value) =>
    Math.max(0, Math.min(255, 120 + 50 * value)),
  );
  const scale = (width, height) => sharp(coarse, { raw }).resize(width, height, { fit: "fill" });
  const pixels = await scale(side, side).raw().toBuffer();
  const jpeg = await scale(640, 480).jpeg().toBuffer();
  for (const [name, bytes] of Object.entries({ input, pixels, jpeg }))
    writeFileSync(join(folder, name), bytes);
  for (const name of ["input", "pixels"]) {
    const bytes = readFileSync(join(folder, name));
    const head = JSON.stringify(restHead(kinds[name], bytes.length));
    writeFileSync(join(folder, `${name}.rest`), Buffer.concat([Buffer.from(head), bytes]));
    writeFileSync(join(folder, `${name}.grpc`), framed(grpcMessage(kinds[name], bytes)));
  }
}

function restHead({ tensor, output }, size) {
  return {
    inputs: [{ ...tensor, parameters: { binary_data_size: size } }],
    outputs: [{ name: output, parameters: { binary_data: true } }],
  };
}

function grpcMessage({ tensor, output }, bytes) {
  const shape = tensor.shape.map(BigInt);
  const message = create(ModelInferRequestSchema, {
    modelName: "vgg11",
    inputs: [{ ...tensor, shape }],
    outputs: [{ name: output }],
    rawInputContents: [bytes],
  });
  return toBinary(ModelInferRequestSchema, message);
}

/** gRPC's frame: no compression, the length as 32 bits, the message. */
function framed(message) {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

const floatsOf = (bytes) => [...new Float32Array(Uint8Array.from(bytes).buffer)];

/** How vgg serve is asked over REST. `parse` takes the answer's bytes and headers; `all` in the address asks for all classes. */
export function restRequest(kind, { http }, folder) {
  if (kind === "jpeg")
    return {
      generator: "wrk",
      url: `http://${http}/classify`,
      headers: { "Content-Type": "image/jpeg" },
      body: join(folder, "jpeg"),
      all: "?top=1000",
      parse: (bytes) => JSON.parse(bytes.toString()),
    };
  const size = readFileSync(join(folder, kind)).length;
  const head = JSON.stringify(restHead(kinds[kind], size));
  return {
    generator: "wrk",
    url: `http://${http}/v2/models/vgg11/infer`,
    headers: {
      "Content-Type": "application/octet-stream",
      "Inference-Header-Content-Length": String(Buffer.byteLength(head)),
    },
    body: join(folder, `${kind}.rest`),
    parse: (bytes, headers) =>
      floatsOf(bytes.subarray(Number(headers.get("inference-header-content-length")))),
  };
}

/** How vgg serve is asked over gRPC. */
export function grpcRequest(kind, { grpc }, folder) {
  return {
    generator: "h2load",
    url: `http://${grpc}/inference.GRPCInferenceService/ModelInfer`,
    headers: { "content-type": "application/grpc", te: "trailers" },
    body: join(folder, `${kind}.grpc`),
    parse: (bytes) => {
      const { rawOutputContents } = fromBinary(ModelInferResponseSchema, bytes.subarray(5));
      return floatsOf(rawOutputContents[0]);
    },
  };
}

/** How the Express server is asked. */
export function expressRequest(kind, { port }, folder) {
  return {
    generator: "wrk",
    url: `http://127.0.0.1:${port}/${kind}`,
    headers: { "Content-Type": "application/octet-stream" },
    body: join(folder, kind),
    ...(kind === "jpeg" && { all: "?top=1000" }),
    parse: kind === "jpeg" ? (bytes) => JSON.parse(bytes.toString()) : floatsOf,
  };
}
