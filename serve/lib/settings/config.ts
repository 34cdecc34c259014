// Reads a configuration file: the options of `serve` as JSON. Its paths are relative to its folder.
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { checkOptions } from "./check.js";
import type { ListenOptions, ModelOptions, ServeOptions } from "./options.js";

/** More than any configuration has. */
const maxBytes = 4 * 2 ** 20;

/**
 * Reads a configuration file. `vgg-cudnn-serve/config.schema.json` is its schema.
 * @returns the options with absolute paths
 * @throws {TypeError} a file that is missing, no JSON, or has an option that is unknown or wrong
 * @example const server = await serve(await readConfig("serve.json"));
 */
export async function readConfig(path: string): Promise<ServeOptions> {
  if (typeof path !== "string") throw new TypeError(`Expected a path but received ${path}`);
  const text = await readFile(path).catch(({ code }: NodeJS.ErrnoException) => {
    throw new TypeError(`Expected a configuration file but reading ${path} gives ${code}`);
  });
  if (text.length > maxBytes)
    throw new TypeError(`Expected a configuration file of at most ${maxBytes} bytes: ${path}`);
  const options = jsonOf(text.toString("utf8").replace(/^\uFEFF/, ""), path);
  try {
    checkOptions(options);
  } catch (error) {
    if (error instanceof TypeError) error.message += ` in ${path}`;
    throw error;
  }
  return withPaths(options, dirname(resolve(path)));
}

function jsonOf(text: string, path: string): ServeOptions {
  try {
    return JSON.parse(text) as ServeOptions;
  } catch (cause) {
    throw new TypeError(`Expected JSON in ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** Makes the paths of options absolute, as seen from a folder. */
function withPaths(options: ServeOptions, folder: string): ServeOptions {
  const models = Object.entries(options.models).map(([name, model]) => [
    name,
    modelWithPaths(model, folder),
  ]);
  const { log } = options;
  return {
    ...options,
    models: Object.fromEntries(models) as Record<string, ModelOptions>,
    http: listenWithPaths(options.http, folder),
    grpc: listenWithPaths(options.grpc, folder),
    metrics: listenWithPaths(options.metrics, folder),
    ...(log?.file !== undefined && { log: { ...log, file: resolve(folder, log.file) } }),
  };
}

function modelWithPaths(model: ModelOptions, folder: string): ModelOptions {
  const { weights, labels, plans } = model;
  return {
    ...model,
    weights: isPublished(weights) ? weights : resolve(folder, weights),
    ...(typeof labels === "string" && { labels: resolve(folder, labels) }),
    ...(plans !== undefined && { plans: resolve(folder, plans) }),
  };
}

function listenWithPaths(given: false | ListenOptions | undefined, folder: string) {
  if (given === false || given?.tls === undefined) return given;
  const { key, cert, ca } = given.tls;
  const at = (pem: string) => (isPem(pem) ? pem : resolve(folder, pem));
  return {
    ...given,
    tls: { key: at(key), cert: at(cert), ...(ca !== undefined && { ca: at(ca) }) },
  };
}

/** Whether this is the name of published weights and not a path. */
export function isPublished(weights: string): boolean {
  return /^(DEFAULT|IMAGENET1K_[A-Z0-9_]+)$/.test(weights);
}

/** Whether this is a text of PEM and not the name of a file. */
export function isPem(text: string): boolean {
  return text.includes("-----BEGIN ");
}
