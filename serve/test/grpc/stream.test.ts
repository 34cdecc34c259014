// Streams of requests, and messages that are too large.
import { describe, expect, it } from "vitest";
import { ServeError } from "../../lib/errors.ts";
import {
  GRPCInferenceService as Inference,
  type ModelStreamInferResponse,
} from "../../lib/grpc/gen/grpc_service_pb.ts";
import { fakeEngine, imageRequest, never } from "./engine.ts";
import { connectClient, grpcClient, start } from "./servers.ts";

describe("a message over the limit", () => {
  const large = () => imageRequest({ rawInputContents: [new Uint8Array(100 << 20)] });

  it("is refused while grpc-js sends it, and the connection goes on", async () => {
    const client = grpcClient((await start(fakeEngine())).port);
    for (let round = 0; round < 3; round += 1) {
      const { code, details } = await client.call(Inference.method.modelInfer, large());
      expect([code, details]).toEqual([8, expect.stringContaining("104857")]);
      expect((await client.call(Inference.method.modelInfer, imageRequest())).code).toBe(0);
    }
  });

  it("is refused while connect sends it, and the connection goes on", async () => {
    const { inference } = connectClient((await start(fakeEngine())).port);
    for (let round = 0; round < 3; round += 1) {
      await expect(inference.modelInfer(large())).rejects.toMatchObject({ code: 8 });
      expect(await inference.modelInfer(imageRequest())).toMatchObject({ modelName: "vgg11" });
    }
  });
});

describe("ModelStreamInfer", () => {
  it("answers in order, and a failure is a message: the stream goes on", async () => {
    const engine = fakeEngine();
    engine.answer = async (request) => {
      // The first answers last.
      await new Promise((resolve) => setTimeout(resolve, request.id === "0" ? 100 : 1));
      return { model: "vgg11", version: "1", id: request.id, outputs: [] };
    };
    const client = grpcClient((await start(engine)).port);
    const stream = client.stream(Inference.method.modelStreamInfer);
    const answers: ModelStreamInferResponse[] = [];
    stream.on("data", (answer) => answers.push(answer));
    for (const id of ["0", "1"]) stream.write(imageRequest({ id }));
    stream.write(imageRequest({ id: "2", modelName: "nope" }));
    stream.write(imageRequest({ id: "3", rawInputContents: [Buffer.of(9)] }));
    stream.write(imageRequest({ id: "4" }));
    stream.end();
    const status = await new Promise<{ code: number }>((resolve) => stream.on("status", resolve));
    expect(status.code).toBe(0);
    expect(answers.map((answer) => answer.inferResponse?.id)).toEqual(["0", "1", "2", "3", "4"]);
    expect(answers.map((answer) => answer.errorMessage)).toEqual([
      "",
      "",
      "Request for unknown model: 'nope' is not found",
      expect.stringMatching(/^Expected at least 4 bytes/),
      "",
    ]);
  });

  it("works on many requests at a time, but not on any number", async () => {
    const engine = fakeEngine();
    const release: (() => void)[] = [];
    engine.answer = async () => {
      await new Promise<void>((resolve) => release.push(resolve));
      return { model: "vgg11", version: "1", outputs: [] };
    };
    const client = grpcClient((await start(engine)).port);
    const stream = client.stream(Inference.method.modelStreamInfer);
    let count = 0;
    stream.on("data", () => {
      count += 1;
    });
    for (let request = 0; request < 200; request += 1) stream.write(imageRequest());
    await expect.poll(() => release.length).toBe(64);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(release).toHaveLength(64);
    const timer = setInterval(() => {
      for (const end of release.splice(0)) end();
    }, 1);
    await expect.poll(() => count).toBe(200);
    clearInterval(timer);
    stream.end();
    await new Promise((resolve) => stream.on("status", resolve));
  });

  it("aborts what is under way when the client cancels", async () => {
    const engine = fakeEngine();
    engine.answer = never;
    const client = grpcClient((await start(engine)).port);
    const stream = client.stream(Inference.method.modelStreamInfer);
    stream.on("error", () => {});
    for (let request = 0; request < 5; request += 1) stream.write(imageRequest());
    await expect.poll(() => engine.requests.length).toBe(5);
    stream.cancel();
    await expect.poll(() => engine.requests.every(({ signal }) => signal.aborted)).toBe(true);
  });

  it("admits each message", async () => {
    let calls = 0;
    const gate = {
      admit: () => {
        calls += 1;
        if (calls > 2) throw new ServeError("RATE", "Expected fewer calls");
        return "a client";
      },
    };
    const client = grpcClient((await start(fakeEngine(), { gate })).port);
    const stream = client.stream(Inference.method.modelStreamInfer);
    const messages: string[] = [];
    stream.on("data", (answer: ModelStreamInferResponse) => messages.push(answer.errorMessage));
    for (let request = 0; request < 3; request += 1) stream.write(imageRequest());
    stream.end();
    await new Promise((resolve) => stream.on("status", resolve));
    expect(messages).toEqual(["", "", "Expected fewer calls"]);
  });
});
