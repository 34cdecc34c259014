// Loads BullMQ and its client of Redis, which are optional, and opens a connection.
import type { Redis } from "ioredis";

/** What installs the packages. */
export const installation = "npm install bullmq@6 ioredis@6";

/** The two packages. */
export interface Packages {
  readonly bullmq: typeof import("bullmq");
  readonly ioredis: Pick<typeof import("ioredis"), "Redis">;
}

/** @throws {TypeError} a package is not installed; the message names the command */
export async function loadPackages(): Promise<Packages> {
  try {
    const [bullmq, ioredis] = await Promise.all([import("bullmq"), import("ioredis")]);
    return { bullmq, ioredis };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new TypeError(
      `Expected the packages bullmq and ioredis, which a worker needs; install them with: ${installation}`,
    );
  }
}

/** The wait before the next try to connect. */
const pauseMs = (attempt: number) => Math.min(100 * 2 ** Math.min(attempt, 5), 2000);

/**
 * Connects to Redis. After the first connection, commands wait while it is away.
 * @throws {Error} the first connection fails
 */
export async function connect(
  { ioredis }: Packages,
  address: string,
  onError: (error: Error) => void,
): Promise<Redis> {
  let wasReady = false;
  const redis = new ioredis.Redis(address, {
    lazyConnect: true,
    maxRetriesPerRequest: null,
    retryStrategy: (attempt) => (wasReady ? pauseMs(attempt) : null),
  });
  let last: Error | undefined;
  redis.on("error", (error: Error) => {
    last = error;
    if (wasReady) onError(error);
  });
  try {
    await redis.connect();
    wasReady = true;
    return redis;
  } catch (error) {
    redis.disconnect();
    const { message } = last ?? (error as Error);
    throw Object.assign(new Error(`Cannot connect to Redis: ${message}`), { syscall: "connect" });
  }
}
