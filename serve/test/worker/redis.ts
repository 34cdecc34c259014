// Debian's redis-server on a socket in a temporary folder, for tests of the worker.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Queue } from "bullmq";
import { Redis } from "ioredis";

export const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;
export const isRequired = process.env.VGG_REQUIRE_TOOLS === "1";
if (!hasRedis && !isRequired) console.log("skipped: no redis-server; apt install redis-server");

/** A server that can be killed and started again with what it had on its disk. */
export class RedisServer {
  readonly folder = mkdtempSync(join(tmpdir(), "vgg-redis-"));
  readonly socket = join(this.folder, "redis.sock");
  #process: ChildProcess | undefined;
  #redis: Redis | undefined;
  #queues: Queue[] = [];

  async start(): Promise<void> {
    const args = ["--port", "0", "--unixsocket", this.socket, "--dir", this.folder, "--save", ""];
    args.push("--appendonly", "yes", "--appendfsync", "always");
    this.#process = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"] });
    for await (const text of this.#process.stdout!.setEncoding("utf8"))
      if (/ready to accept connections/i.test(text as string)) break;
    // Nobody reads the rest; iterating has closed the pipe, which the server ignores.
  }

  async kill(): Promise<void> {
    const ended = once(this.#process!, "exit");
    this.#process!.kill("SIGKILL");
    await ended;
  }

  get redis(): Redis {
    if (this.#redis === undefined) {
      this.#redis = new Redis(this.socket, { maxRetriesPerRequest: null });
      this.#redis.on("error", () => {});
    }
    return this.#redis;
  }

  queue(name: string): Queue {
    const queue = new Queue(name, { connection: this.redis });
    queue.on("error", () => {});
    this.#queues.push(queue);
    return queue;
  }

  /** The result of each image that has one, by its key. */
  async results(prefix: string): Promise<Map<string, Record<string, unknown>>> {
    const names = await this.redis.keys(`${prefix}*`);
    const values = names.length === 0 ? [] : await this.redis.mget(names);
    return new Map(names.map((name, at) => [name.slice(prefix.length), JSON.parse(values[at]!)]));
  }

  async stop(): Promise<void> {
    for (const queue of this.#queues) await queue.close();
    this.#redis?.disconnect();
    if (this.#process?.exitCode === null) await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
