// Every call of the inference service and of the health service, by clients that others wrote.
import { create } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { ServeError } from "../../lib/errors.ts";
import { GRPCInferenceService as Inference } from "../../lib/grpc/gen/grpc_service_pb.ts";
import { HealthCheckResponse_ServingStatus as Status } from "../../lib/grpc/gen/health_pb.ts";
import { fakeEngine, imageRequest, never } from "./engine.ts";
import { connectClient, grpcClient, start } from "./servers.ts";

describe("the calls about the server and its models", () => {
  it("say whether it lives and is ready", async () => {
    const engine = fakeEngine();
    const { inference, health } = connectClient((await start(engine)).port);
    expect(await inference.serverLive({})).toMatchObject({ live: true });
    expect(await inference.serverReady({})).toMatchObject({ ready: true });
    expect(await inference.modelReady({ name: "vgg11" })).toMatchObject({ ready: true });
    expect(await inference.modelReady({ name: "vgg11", version: "2" })).toMatchObject({
      ready: false,
    });
    expect(await inference.modelReady({ name: "nope" })).toMatchObject({ ready: false });
    expect(await health.check({})).toMatchObject({ status: Status.SERVING });
    engine.isReady = false;
    expect(await inference.serverReady({})).toMatchObject({ ready: false });
    expect(await health.check({})).toMatchObject({ status: Status.NOT_SERVING });
    expect(await health.list({})).toMatchObject({
      statuses: { "inference.GRPCInferenceService": { status: Status.NOT_SERVING } },
    });
    await expect(health.check({ service: "nope" })).rejects.toMatchObject({ code: 5 });
  });

  it("describe the server, its models, and their configuration", async () => {
    const { inference } = connectClient((await start(fakeEngine())).port);
    expect(await inference.serverMetadata({})).toMatchObject({
      name: "vgg-cudnn-serve",
      extensions: ["statistics"],
    });
    expect(await inference.modelMetadata({ name: "vgg11" })).toMatchObject({
      versions: ["1"],
      inputs: [{ name: "image", datatype: "BYTES", shape: [-1n, 1n] }],
    });
    const { config } = await inference.modelConfig({ name: "vgg11" });
    expect(config).toMatchObject({
      maxBatchSize: 64,
      input: [{ dataType: 13, dims: [1n] }],
      schedulingChoice: { case: "dynamicBatching", value: { preferredBatchSize: [1, 8] } },
    });
    await expect(inference.modelMetadata({ name: "nope" })).rejects.toMatchObject({
      code: 5,
      rawMessage: "Request for unknown model: 'nope' is not found",
    });
    await expect(inference.modelConfig({ name: "nope" })).rejects.toMatchObject({ code: 5 });
  });

  it("give statistics of one model or all, and an error for an unknown one", async () => {
    const engine = fakeEngine();
    const { inference } = connectClient((await start(engine)).port);
    const { modelStats } = await inference.modelStatistics({});
    expect(modelStats).toMatchObject([{ name: "vgg11", inferenceStats: { success: { ns: 0n } } }]);
    expect((await inference.modelStatistics({ name: "vgg11" })).modelStats).toHaveLength(1);
    await expect(inference.modelStatistics({ name: "nope" })).rejects.toMatchObject({ code: 5 });
  });

  it("load and unload, with the model in Triton's or in KServe's field", async () => {
    const engine = fakeEngine();
    const { inference } = connectClient((await start(engine)).port);
    expect((await inference.repositoryIndex({})).models).toHaveLength(2);
    expect((await inference.repositoryIndex({ ready: true })).models).toMatchObject([
      { name: "vgg11", state: "READY" },
    ]);
    expect(await inference.repositoryModelLoad({ modelName: "vgg16" })).toMatchObject({
      modelName: "vgg16",
      isLoaded: true,
    });
    expect(await inference.repositoryModelLoad({ repositoryName: "vgg11" })).toMatchObject({
      modelName: "vgg11",
    });
    expect(
      await inference.repositoryModelUnload({
        repositoryName: "vgg11",
        parameters: { unload_dependents: { parameterChoice: { case: "boolParam", value: false } } },
      }),
    ).toMatchObject({ modelName: "vgg11", isUnloaded: true });
    expect(engine.loads).toEqual(["load vgg16", "load vgg11", "unload vgg11"]);
    const config = { parameterChoice: { case: "stringParam" as const, value: "{}" } };
    await expect(
      inference.repositoryModelLoad({ modelName: "vgg11", parameters: { config } }),
    ).rejects.toMatchObject({ code: 3 });
  });

  it("answer UNIMPLEMENTED for shared memory, traces and logs", async () => {
    const client = grpcClient((await start(fakeEngine())).port);
    const absent = Inference.methods.filter(({ name }) => /Memory|Trace|Log/.test(name));
    expect(absent).toHaveLength(8);
    for (const method of absent)
      expect((await client.call(method, create(method.input))).code).toBe(12);
  });

  it("watch the health, and end the watch when the server stops", async () => {
    const engine = fakeEngine();
    const { server, port } = await start(engine);
    const seen: number[] = [];
    const watched = (async () => {
      for await (const { status } of connectClient(port).health.watch({})) {
        seen.push(status);
        if (seen.length === 1) engine.isReady = false;
        if (seen.length === 2) void server.close(10_000);
      }
    })();
    await expect(watched).rejects.toMatchObject({ code: 14 });
    expect(seen).toEqual([Status.SERVING, Status.NOT_SERVING]);
  });
});

describe("ModelInfer", () => {
  it("passes on the request and answers in raw bytes, to grpc-js", async () => {
    const engine = fakeEngine();
    const client = grpcClient((await start(engine)).port);
    const metadata = new Metadata();
    metadata.set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    const integer = (field: string, value: bigint) => ({ parameterChoice: { case: field, value } });
    const { code, message } = await client.call(
      Inference.method.modelInfer,
      imageRequest({
        id: "7",
        parameters: {
          priority: integer("uint64Param", 2n),
          timeout: integer("int64Param", 500_000n),
          triton_enable_empty_final_response: {
            parameterChoice: { case: "boolParam", value: true },
          },
        },
        outputs: [{ name: "logits", parameters: { classification: integer("int64Param", 5n) } }],
      }),
      { metadata },
    );
    expect(code).toBe(0);
    expect(message).toMatchObject({
      modelName: "vgg11",
      modelVersion: "1",
      id: "7",
      outputs: [{ name: "logits", datatype: "FP32", shape: [1n, 1n] }],
      rawOutputContents: [Buffer.from([0, 0, 0x80, 0x3f])],
    });
    expect(engine.requests[0]).toMatchObject({
      model: "vgg11",
      version: undefined,
      priority: 2,
      timeoutMs: 500,
      client: "a client",
      inputs: [{ name: "image", datatype: "BYTES", shape: [1, 1] }],
      outputs: [{ name: "logits", classification: 5 }],
      origin: { protocol: "grpc", traceparent: metadata.get("traceparent")[0] },
    });
    expect(engine.requests[0]?.origin?.bytes).toBeGreaterThan(30);
    expect(Buffer.from((engine.requests[0]!.inputs[0]!.data as Uint8Array[])[0]!)).toEqual(
      Buffer.from([1, 2, 3]),
    );
  });

  it("limits the time to the smaller of timeout and grpc-timeout", async () => {
    const engine = fakeEngine();
    const client = grpcClient((await start(engine)).port);
    const { modelInfer } = Inference.method;
    const parameters = { timeout: { parameterChoice: { case: "int64Param", value: 10_000_000n } } };
    await client.call(modelInfer, imageRequest({ parameters }), { deadlineMs: 2000 });
    await client.call(modelInfer, imageRequest({ parameters }), { deadlineMs: 60_000 });
    await client.call(modelInfer, imageRequest(), { deadlineMs: 1e12 });
    await client.call(modelInfer, imageRequest());
    const times = engine.requests.map(({ timeoutMs }) => timeoutMs);
    expect(times[0]).toBeGreaterThan(500);
    expect(times[0]).toBeLessThanOrEqual(2000);
    expect(times.slice(1)).toEqual([10_000, undefined, undefined]);
  });

  it.each([
    ["INVALID", 3],
    ["UNAUTHENTICATED", 16],
    ["NOT_FOUND", 5],
    ["TOO_LARGE", 8],
    ["ENCODING", 12],
    ["RATE", 8],
    ["CANCELED", 1],
    ["INTERNAL", 13],
    ["UNAVAILABLE", 14],
    ["TIMED_OUT", 4],
  ] as const)(
    "answers %s with the code %i, and says when to try again if that helps",
    async (kind, expected) => {
      const engine = fakeEngine();
      engine.answer = async () => {
        throw new ServeError(kind, "größer 100 %", { retryAfterSeconds: 3 });
      };
      const client = grpcClient((await start(engine)).port);
      const { code, details, trailers } = await client.call(
        Inference.method.modelInfer,
        imageRequest(),
      );
      expect([code, details]).toEqual([expected, "größer 100 %"]);
      expect(trailers["grpc-retry-pushback-ms"]).toBe(
        kind === "RATE" || kind === "UNAVAILABLE" ? "3000" : undefined,
      );
    },
  );

  it("tells nothing of a defect", async () => {
    const engine = fakeEngine();
    engine.answer = async () => {
      throw new Error("/secret/path");
    };
    const client = grpcClient((await start(engine)).port);
    const { code, details } = await client.call(Inference.method.modelInfer, imageRequest());
    expect(code).toBe(13);
    expect(details).not.toContain("secret");
  });

  it("sends a message that headers can carry, however long it was and whatever it quotes", async () => {
    const engine = fakeEngine();
    engine.answer = async () => {
      throw new ServeError("INVALID", `\ud800\n${"語".repeat(100_000)}`);
    };
    const client = grpcClient((await start(engine)).port);
    const { code, details } = await client.call(Inference.method.modelInfer, imageRequest());
    expect([code, details.length < 1000]).toEqual([3, true]);
  });

  it("fires the request's signal when the client cancels or its deadline passes", async () => {
    const engine = fakeEngine();
    engine.answer = never;
    const client = grpcClient((await start(engine)).port);
    const { modelInfer } = Inference.method;
    const canceled = await client.call(modelInfer, imageRequest(), {
      during: (call) => setTimeout(() => call.cancel(), 50),
    });
    const late = await client.call(modelInfer, imageRequest(), { deadlineMs: 50 });
    expect([canceled.code, late.code]).toEqual([1, 4]);
    await expect
      .poll(() => engine.requests.map(({ signal }) => signal.aborted))
      .toEqual([true, true]);
  });

  it("serves 64 images of FP32 in one message", async () => {
    const engine = fakeEngine();
    const { inference } = connectClient((await start(engine)).port);
    const tensor = new Uint8Array(64 * 3 * 224 * 224 * 4);
    const { rawOutputContents } = await inference.modelInfer({
      modelName: "vgg11",
      inputs: [{ name: "input", datatype: "FP32", shape: [64n, 3n, 224n, 224n] }],
      rawInputContents: [tensor],
    });
    expect(new Float32Array(Uint8Array.from(rawOutputContents[0]!).buffer)[0]).toBe(9_633_792);
  });
});
