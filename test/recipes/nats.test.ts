// The recipe for NATS JetStream with Debian's nats-server: results under keys, a worker that is killed, and bad images.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Prediction, Vgg } from "../../lib/index.ts";
import { installPackage, isFetched, project, root, run, tool } from "./project.ts";

const hasServer = spawnSync("nats-server", ["--version"]).status === 0;
if (isFetched && !hasServer) console.log("nats-server is absent: the recipe for NATS is not run");
it.runIf(process.env.VGG_REQUIRE_TOOLS === "1")("has nats-server", () => {
  expect(hasServer).toBe(true);
});

/** What this test uses of the packages, which the project has. */
interface Nats {
  readonly connect: (options: object) => Promise<{ close(): Promise<void> }>;
  readonly headers: () => { set(name: string, value: string): void };
}
interface JetStream {
  publish(subject: string, data: Uint8Array, options: object): Promise<unknown>;
  jetstreamManager(): Promise<{
    streams: { info(name: string): Promise<{ state: { messages: number } }> };
  }>;
}
interface Bucket {
  get(key: string): Promise<{ json(): unknown } | null>;
}

describe.runIf(isFetched && hasServer)("13-nats-jetstream.ts", () => {
  const folder = mkdtempSync(join(tmpdir(), "vgg-nats-"));
  /** The packages of the recipes are found from here. recipes.test.ts uses the folder above at the same time. */
  const place = join(project, "nats");
  const processes = new Set<ChildProcess>();
  let port = 0;
  beforeAll(async () => {
    installPackage(join(place, "node_modules"));
    const source = join(root, "examples/13-nats-jetstream.ts");
    run(tool("esbuild"), [source, "--format=esm", `--outfile=${join(place, "worker.mjs")}`]);
    const probe = createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    ({ port } = probe.address() as { port: number });
    probe.close();
    const args = ["-js", "-sd", folder, "-a", "127.0.0.1", "-p", String(port)];
    const server = spawn("nats-server", args, { stdio: ["ignore", "ignore", "pipe"] });
    processes.add(server);
    for await (const text of server.stderr) if (/Server is ready/.test(String(text))) break;
  });
  afterAll(() => {
    for (const child of processes) child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });

  const { VGG_ADDON: _, ...environment } = process.env;
  /** Starts a worker and waits until it fetches. */
  async function worker(): Promise<ChildProcess> {
    const env = { ...environment, NATS_URL: `127.0.0.1:${port}`, ACK_WAIT_MS: "1500" };
    const child = spawn(process.execPath, ["worker.mjs"], {
      ...{ cwd: place, env, stdio: ["ignore", "pipe", "pipe"] },
    });
    processes.add(child);
    for await (const text of child.stdout!) if (String(text).includes("ready")) break;
    return child;
  }

  it("gives each image one result, also if a worker is killed", async () => {
    const require = createRequire(join(project, "package.json"));
    const { connect, headers } = require("@nats-io/transport-node") as Nats;
    const { jetstream } = require("@nats-io/jetstream") as { jetstream(c: object): JetStream };
    const { Kvm } = require("@nats-io/kv") as {
      Kvm: new (s: object) => { open(n: string): Promise<Bucket> };
    };
    const first = await worker();
    const connection = await connect({ servers: `127.0.0.1:${port}` });
    const stream = jetstream(connection);
    const bucket = await new Kvm(stream).open("vgg-results");

    const photo = readFileSync(join(root, "test/golden/images/portrait.jpg"));
    const send = async (key: string | undefined, data: Uint8Array) => {
      const named = headers();
      if (key !== undefined) named.set("key", key);
      await stream.publish("images", data, { headers: named });
    };
    const keys = Array.from({ length: 60 }, (_, index) => `photo.${index}`);
    for (const key of keys) await send(key, photo);
    await send("text", Buffer.from("no image"));
    await send(undefined, photo);
    await send("photo.0", Buffer.from("another image of this key"));

    const until = async (key: string) => {
      let found = await bucket.get(key);
      for (; found === null; found = await bucket.get(key)) await setTimeout(20);
      return found;
    };
    await until("photo.0");
    first.kill("SIGKILL");
    await once(first, "exit");
    // It was killed in the middle.
    expect(await bucket.get("photo.59")).toBeNull();
    const second = await worker();
    let said = "";
    second.stderr!.on("data", (text) => {
      said += text;
    });
    await using model = await Vgg.create("vgg11", { seed: 1 });
    const [best] = await model.classify(photo, { top: 5 });
    for (const key of keys) {
      const { predictions } = (await until(key)).json() as { predictions: Prediction[] };
      expect(predictions).toHaveLength(5);
      expect(predictions[0]).toMatchObject({
        index: best!.index,
        probability: expect.closeTo(best!.probability, 4),
      });
    }
    expect((await until("text")).json()).toEqual({
      error: { code: "IMAGE_FORMAT", message: expect.stringContaining("Expected a JPEG") },
    });
    const manager = await stream.jetstreamManager();
    const left = async () => (await manager.streams.info("images")).state.messages;
    await expect.poll(left, { timeout: 20_000 }).toBe(0);
    // The first result of a key stays.
    expect((await bucket.get("photo.0"))!.json()).toHaveProperty("predictions");
    expect(said).toBe("message 62 is dropped: it has no key that a bucket can have\n");
    second.kill("SIGTERM");
    expect(await once(second, "exit")).toEqual([0, null]);
    await connection.close();
  });
});
