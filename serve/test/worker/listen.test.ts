// A worker that cannot listen for Prometheus: its process says so and ends.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { saveSmallModel } from "../support/small-model.ts";
import { hasRedis, isRequired, RedisServer } from "./redis.ts";

const main = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));

it.runIf(hasRedis || isRequired)("ends with 1 if the port of its metrics is taken", async () => {
  const redis = new RedisServer();
  await redis.start();
  const saved = await saveSmallModel();
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  try {
    const { port } = taken.address() as AddressInfo;
    const flags = ["--weights", saved.weights, "--device", "cpu", "--redis", redis.socket];
    const args = [main, "worker", ...flags, "--metrics-port", String(port)];
    const { status, stderr } = spawnSync(process.execPath, args, {
      encoding: "utf8",
      timeout: 120_000,
    });
    expect(stderr).toContain("EADDRINUSE");
    expect(status).toBe(1);
  } finally {
    taken.close();
    saved.remove();
    await redis.stop();
  }
});
