// Checks the options and fills in the defaults.
import type { z } from "zod";
import type { AccessSettings } from "../access/access.js";
import type {
  AccessOptions,
  LimitOptions,
  ListenOptions,
  LoggerLike,
  LogOptions,
  ModelOptions,
  ServeOptions,
} from "./options.js";
import { optionsSchema } from "./schema.js";

/** An interface and port that the server listens on. */
export interface Listener {
  readonly host: string;
  readonly port: number;
  readonly tls: ListenOptions["tls"];
}

/** The limits, each with its value. `maxPixels` is undefined for the library's. */
export type Limits = {
  readonly [Name in Exclude<keyof LimitOptions, "maxPixels">]-?: number;
} & { readonly maxPixels: number | undefined };

/** The options after the check, with the defaults. */
export interface Settings {
  readonly models: ReadonlyMap<string, ModelOptions>;
  /** Null: the protocol is off. */
  readonly http: Listener | null;
  readonly grpc: Listener | null;
  readonly metrics: Listener | null;
  readonly page: boolean;
  readonly access: AccessSettings;
  readonly limits: Limits;
  readonly log: LogOptions;
  readonly logger: LoggerLike | undefined;
  readonly drainMs: number;
  readonly shutdownMs: number;
}

const mebibyte = 2 ** 20;

const usualLimits: Limits = Object.freeze({
  bodyBytes: 64 * mebibyte,
  heldBytes: 512 * mebibyte,
  jsonTensorBytes: 8 * mebibyte,
  outputBytes: 64 * mebibyte,
  maxPixels: undefined,
  imagesPerRequest: 256,
  connections: 1024,
  bodyMs: 60_000,
});

/**
 * Checks options.
 * @throws {TypeError} an option that is unknown, missing, of another type or out of its range
 */
export function checkOptions(options: ServeOptions): Settings {
  const isObject = typeof options === "object" && options !== null && !Array.isArray(options);
  if (!isObject)
    throw new TypeError(`Expected an object for options but received ${shown(options)}`);
  const { logger, ...rest } = options;
  const given = parse(rest);
  const {
    page = true,
    access = {},
    limits = {},
    log = {},
    drainMs = 5000,
    shutdownMs = 30_000,
  } = given;
  if (logger !== undefined) checkLogger(logger);
  checkPorts(given);
  return {
    models: new Map(Object.entries(given.models)),
    http: listenerOf(given.http, usualPorts.http),
    grpc: listenerOf(given.grpc, usualPorts.grpc),
    metrics: listenerOf(given.metrics, usualPorts.metrics),
    page,
    access: completeAccess(access),
    limits: completeLimits(limits),
    log,
    logger,
    drainMs,
    shutdownMs,
  };
}

function listenerOf(given: false | ListenOptions | undefined, usualPort: number): Listener | null {
  if (given === false) return null;
  const { host = "127.0.0.1", port = usualPort, tls } = given ?? {};
  return { host, port, tls };
}

/** @throws {TypeError} no protocol is on */
export function checkProtocols({ http, grpc }: Pick<Settings, "http" | "grpc">): void {
  if (http === null && grpc === null)
    throw new TypeError("Expected http or grpc to be served but both are off");
}

const usualPorts = { http: 8000, grpc: 8001, metrics: 8002 };
const protocols = ["http", "grpc", "metrics"] as const;

/** @throws {TypeError} one port for two protocols */
function checkPorts(given: Pick<ServeOptions, "http" | "grpc" | "metrics">): void {
  const taken = new Map<number, string>();
  for (const name of protocols) {
    const { port = 0 } = listenerOf(given[name], usualPorts[name]) ?? {};
    const other = port === 0 ? undefined : taken.get(port);
    if (other !== undefined)
      throw new TypeError(`Expected another port than ${other}'s for ${name} but received ${port}`);
    taken.set(port, name);
  }
}

function checkLogger(logger: unknown): void {
  const isLogger =
    typeof logger === "object" &&
    logger !== null &&
    ["info", "warn", "error"].every(
      (name) => typeof (logger as Record<string, unknown>)[name] === "function",
    );
  if (!isLogger)
    throw new TypeError("Expected an object with the methods info, warn and error for logger");
}

function completeAccess({ groups = {}, ...access }: AccessOptions): AccessSettings {
  const given = Object.entries(groups).filter(([, tokens]) => tokens !== undefined);
  return { ...access, groups: Object.fromEntries(given) };
}

function completeLimits(given: LimitOptions): Limits {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...usualLimits, ...Object.fromEntries(entries) };
}

/** @throws {TypeError} the first problem that zod finds */
function parse(options: unknown): z.output<typeof optionsSchema> {
  return parseOptions(optionsSchema, options);
}

/**
 * Checks options by a schema whose messages say what was expected.
 * @throws {TypeError} the first problem: Expected … for NAME but received …
 */
export function parseOptions<Output>(schema: z.ZodType<Output>, options: unknown): Output {
  const { success, data, error } = schema.safeParse(options);
  if (success) return data;
  throw new TypeError(sentence(error.issues[0]!, options));
}

/** Says a problem: Expected … for NAME but received … */
function sentence(issue: z.core.$ZodIssue, options: unknown): string {
  const name = issue.path.map(String).join(".") || "options";
  const value = issue.path.reduce<unknown>(
    (holder, key) => (holder as Record<PropertyKey, unknown> | undefined)?.[key],
    options,
  );
  if (issue.code === "unrecognized_keys")
    return `Expected only known options for ${name} but received ${issue.keys.map((key) => JSON.stringify(key)).join(", ")}`;
  if (issue.code === "invalid_key")
    return `Expected ${issue.issues[0]?.message} for a name in ${name.slice(0, name.lastIndexOf(".")) || name} but received ${shown(issue.path.at(-1))}`;
  // Of the forms of a union, the one that came furthest says what is wrong.
  if (issue.code === "invalid_union") {
    const [inner] = issue.errors
      .map(([first]) => first)
      .filter((first) => first !== undefined && first.path.length > 0);
    if (inner !== undefined)
      return sentence({ ...inner, path: [...issue.path, ...inner.path] }, options);
    const keys = issue.errors.flat().find(({ code }) => code === "unrecognized_keys");
    if (keys !== undefined && typeof value === "object")
      return sentence({ ...keys, path: issue.path }, options);
  }
  // A token that was written down as it is must not get into a log.
  const received = name.startsWith("access.") ? "another value" : shown(value);
  return `Expected ${issue.message} for ${name} but received ${received}`;
}

function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return "an object";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
