// How errors of the library become errors of the server.
import { VggError } from "vgg-cudnn";
import { describe, expect, it } from "vitest";
import { ServeError, toServeError } from "../lib/errors.ts";

describe("toServeError", () => {
  it.each([
    ["IMAGE_FORMAT", 400, 3],
    ["IMAGE_CORRUPT", 400, 3],
    ["IMAGE_LIMIT", 400, 3],
    ["IMAGE_TOO_LARGE", 413, 8],
    ["QUEUE_FULL", 503, 14],
    ["OUT_OF_MEMORY", 503, 14],
    ["TIMED_OUT", 504, 4],
    ["DEVICE_LOST", 503, 14],
    ["DISPOSED", 503, 14],
    ["ABORTED", 499, 1],
    ["INTERNAL", 500, 13],
    ["CHECKPOINT_CORRUPT", 500, 13],
  ] as const)("gives %s the status %i and gRPC's code %i", (code, status, grpcCode) => {
    const error = toServeError(new VggError(code, "a sentence"));
    expect([error.status, error.grpcCode]).toEqual([status, grpcCode]);
    expect(error.retryAfterSeconds).toBe(status === 503 ? 1 : undefined);
  });

  it("tells a client nothing of a defect", () => {
    const { message, status, cause } = toServeError(new Error("at /secret/path.ts"));
    expect([status, message]).toEqual([500, "The server failed to answer; its log has the reason"]);
    expect(cause).toBeInstanceOf(Error);
  });

  it("says when the queue will have room, in Triton's words and whole seconds", () => {
    const error = Object.assign(new VggError("QUEUE_FULL", "64 images wait"), {
      retryAfterMs: 2300,
    });
    expect(toServeError(error)).toMatchObject({
      message: "Exceeds maximum queue size: 64 images wait",
      retryAfterSeconds: 3,
    });
  });

  it("leaves an error of the server as it is", () => {
    const error = new ServeError("RATE", "Too many requests", { retryAfterSeconds: 0.2 });
    expect(toServeError(error)).toBe(error);
    expect(error).toMatchObject({ status: 429, grpcCode: 8, retryAfterSeconds: 1 });
  });
});
