// What the worker can be told: types, the check, and the defaults.
import { z } from "zod";
import { parseOptions } from "../settings/check.js";
import type { LoggerLike, LogOptions, ModelOptions } from "../settings/options.js";
import { bytes, integer, log, milliseconds, model, object, text } from "../settings/schema.js";

/** Options of `startWorker`. */
export interface WorkerOptions {
  /** The model, as in the server's options, on one device. Default device: a GPU that works, otherwise the CPU. */
  readonly model: ModelOptions;
  /** "redis://", "rediss://" or the path of a socket. Default "redis://127.0.0.1:6379". */
  readonly redis?: string | undefined;
  /** The name of BullMQ's queue. Default "vgg". */
  readonly queue?: string | undefined;
  /** The classes of each result. Default 5. */
  readonly top?: number | undefined;
  /** What images of a job the worker may open. Default: none but those whose bytes the job has. */
  readonly allow?: AllowOptions | undefined;
  /** Where results go. */
  readonly results?: ResultOptions | undefined;
  /** How often an image is tried if its failure may pass, such as a server that answers 503. Default 3. */
  readonly attempts?: number | undefined;
  /** How long in ms a job belongs to a worker that is silent. Then another one takes it. Default 30,000. */
  readonly lockMs?: number | undefined;
  /** How often a job may be taken from a worker that died. Then it fails, because it may be the reason. Default 3. */
  readonly maxStalls?: number | undefined;
  /** How long in ms `close` waits for the jobs under way. What then remains goes back to the queue. Default 30,000. */
  readonly shutdownMs?: number | undefined;
  /** Bounds of what jobs can use up. */
  readonly limits?: WorkerLimitOptions | undefined;
  /** Where metrics are served in Prometheus's format. Default: nowhere. */
  readonly metrics?: false | { readonly host?: string; readonly port: number } | undefined;
  /** Where the log goes. Default: standard output. */
  readonly log?: LogOptions | undefined;
  /** A logger with pino's methods, instead of `log`. */
  readonly logger?: LoggerLike | undefined;
}

/** What images of a job the worker may open. */
export interface AllowOptions {
  /** Folders. A path in a job must lie in one of them, before and after its symbolic links are followed. Default: none. */
  readonly folders?: readonly string[] | undefined;
  /** How URLs must begin, such as "https://images.example/photos/". Redirects must, too. Default: none. */
  readonly urls?: readonly string[] | undefined;
}

/** Where results go. */
export interface ResultOptions {
  /** What precedes the image's key in Redis. Default "vgg:result:". */
  readonly prefix?: string | undefined;
  /** When Redis deletes a result, in seconds. Default: never. */
  readonly expireSeconds?: number | undefined;
}

/** Bounds of what jobs can use up. */
export interface WorkerLimitOptions {
  /** Images of one job. Default 1000. */
  readonly imagesPerJob?: number | undefined;
  /** Jobs under way at one time. Default 64. */
  readonly jobs?: number | undefined;
  /** Bytes of one encoded image. Default 64 MiB. */
  readonly imageBytes?: number | undefined;
  /** Bytes of all encoded images under way. Default 256 MiB. */
  readonly heldBytes?: number | undefined;
  /** Pixels of an image. Default: the library's 178,956,970. */
  readonly maxPixels?: number | undefined;
  /** How long in ms a server may take to send an image. Default 30,000. */
  readonly downloadMs?: number | undefined;
}

/** The options after the check, with the defaults. */
export interface WorkerSettings {
  readonly model: ModelOptions;
  readonly device: string;
  readonly redis: string;
  readonly queue: string;
  readonly top: number;
  readonly folders: readonly string[];
  readonly urls: readonly URL[];
  readonly prefix: string;
  readonly expireSeconds: number | undefined;
  readonly attempts: number;
  readonly lockMs: number;
  readonly maxStalls: number;
  readonly shutdownMs: number;
  readonly imagesPerJob: number;
  readonly jobs: number;
  readonly imageBytes: number;
  readonly heldBytes: number;
  readonly maxPixels: number | undefined;
  readonly downloadMs: number;
  readonly metrics: { readonly host: string; readonly port: number } | null;
  readonly log: LogOptions;
  readonly logger: LoggerLike | undefined;
}

/** A URL that others begin with: without a query, and with a path that ends in a slash or is a whole one. */
function isPrefix(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const { protocol, username, password, search, hash } = new URL(value);
  return /^https?:$/.test(protocol) && `${username}${password}${search}${hash}` === "";
}

const address = "redis://HOST:PORT, rediss://HOST:PORT or the path of a socket";
const prefix = "an http or https URL without user, query and fragment";
const schema = object({
  model,
  redis: text(address)
    .regex(/^(rediss?:\/\/|\/)/, { error: address })
    .optional(),
  // BullMQ refuses a colon.
  queue: text("a name without a colon")
    .regex(/^[^:]+$/, { error: "a name without a colon" })
    .optional(),
  top: integer(1, 100_000).optional(),
  allow: object({
    folders: z.array(text("a folder"), { error: "a list of folders" }).optional(),
    urls: z
      .array(text(prefix).refine(isPrefix, { error: prefix }), { error: "a list of URLs" })
      .optional(),
  }).optional(),
  results: object({
    prefix: text("a text").optional(),
    expireSeconds: integer(1, 2 ** 31 - 1, "an integer of seconds").optional(),
  }).optional(),
  attempts: integer(1, 100).optional(),
  lockMs: integer(500, 2 ** 31 - 1, "an integer of ms").optional(),
  maxStalls: integer(0, 1000).optional(),
  shutdownMs: integer(0, 2 ** 31 - 1, "an integer of ms").optional(),
  limits: object({
    imagesPerJob: integer(1, 100_000).optional(),
    jobs: integer(1, 4096).optional(),
    imageBytes: bytes.optional(),
    heldBytes: bytes.optional(),
    maxPixels: integer(1, 2 ** 31 - 1).optional(),
    downloadMs: milliseconds.optional(),
  }).optional(),
  metrics: z
    .union(
      [z.literal(false), object({ host: text("a host").optional(), port: integer(0, 65_535) })],
      {
        error: "false or an object",
      },
    )
    .optional(),
  log,
});

/**
 * Checks the options of a worker.
 * @throws {TypeError} an option that is unknown, missing, of another type or out of its range
 */
export function checkWorkerOptions(options: WorkerOptions): WorkerSettings {
  if (typeof options !== "object" || options === null)
    throw new TypeError(`Expected an object for options but received ${options}`);
  const { logger, ...rest } = options;
  const given = parseOptions(schema, rest);
  const { allow = {}, results = {}, limits = {}, metrics } = given;
  const [device = "auto", ...others] = given.model.devices ?? [];
  if (others.length > 0)
    throw new TypeError(
      `Expected one device for model.devices but received ${others.length + 1}: start a worker for each`,
    );
  return {
    model: given.model as ModelOptions,
    device,
    redis: given.redis ?? "redis://127.0.0.1:6379",
    queue: given.queue ?? "vgg",
    top: given.top ?? 5,
    folders: allow.folders ?? [],
    urls: (allow.urls ?? []).map((url) => new URL(url)),
    prefix: results.prefix ?? "vgg:result:",
    expireSeconds: results.expireSeconds,
    attempts: given.attempts ?? 3,
    lockMs: given.lockMs ?? 30_000,
    maxStalls: given.maxStalls ?? 3,
    shutdownMs: given.shutdownMs ?? 30_000,
    imagesPerJob: limits.imagesPerJob ?? 1000,
    jobs: limits.jobs ?? 64,
    imageBytes: limits.imageBytes ?? 64 * 2 ** 20,
    heldBytes: limits.heldBytes ?? 256 * 2 ** 20,
    maxPixels: limits.maxPixels,
    downloadMs: limits.downloadMs ?? 30_000,
    metrics: metrics ? { host: metrics.host ?? "127.0.0.1", port: metrics.port } : null,
    log: (given.log ?? {}) as LogOptions,
    logger,
  };
}
