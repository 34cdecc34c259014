// The flags of `vgg serve`, and how they and a configuration file become the options of a server.
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Precision } from "../../dtype.js";
import { precisions } from "../../dtype.js";
import { integer, plainCommand } from "../options.js";
import type { ServeOptions } from "./package.js";

/** A port, or false for "off". */
type Port = number | false;

export interface ServeFlags {
  config?: string;
  model?: readonly string[];
  device?: readonly string[];
  precision?: Precision;
  labels?: string;
  input?: string;
  fallback?: string;
  maxBatchSize?: number;
  host?: string;
  httpPort?: Port;
  grpcPort?: Port;
  metricsPort?: Port;
  page: boolean;
  tlsKey?: string;
  tlsCert?: string;
  tlsCa?: string;
  token?: readonly string[];
  adminToken?: readonly string[];
  drainMs?: number;
  shutdownMs?: number;
  logLevel?: string;
  logFile?: string;
  exitOnDeviceLost: boolean;
  check: boolean;
}

function port(value: string): Port {
  if (value === "off") return false;
  const number = integer(value);
  if (number < 0 || number > 65_535)
    throw new InvalidArgumentError("Expected a port from 0 to 65535, or off.");
  return number;
}

const collect = (value: string, before: readonly string[] = []) => [...before, value];

export function withServeFlags(): Command {
  return plainCommand("serve", "serve models over REST and gRPC (Open Inference Protocol)")
    .option("--config <file>", "a JSON file with the options; flags replace what it says")
    .option(
      "--model <name=weights>",
      "a model: its name, and a file or folder of weights, or DEFAULT; may be repeated",
      collect,
    )
    .option("--device <ids>", "devices of each --model: auto, cpu, cuda, cuda:0,cuda:1", list)
    .addOption(new Option("--precision <name>", "arithmetic of each --model").choices(precisions))
    .option("--labels <file>", "names of the classes of each --model")
    .addOption(
      new Option("--input <form>", "the input that the metadata of each --model lists").choices([
        ...["image", "pixels", "tensor"],
      ]),
    )
    .addOption(
      new Option("--fallback <device>", "where a --model runs if its GPUs are lost").choices([
        "cpu",
      ]),
    )
    .option("--max-batch-size <count>", "the most images of one run", integer)
    .option("--host <address>", "where to listen (default: 127.0.0.1; 0.0.0.0 is everywhere)")
    .option("--http-port <port>", "port of REST, or off (default: 8000)", port)
    .option("--grpc-port <port>", "port of gRPC, or off (default: 8001)", port)
    .option("--metrics-port <port>", "port of Prometheus, or off (default: 8002)", port)
    .option("--no-page", "serve no page for browsers at /")
    .option("--tls-key <file>", "key of REST and gRPC in PEM")
    .option("--tls-cert <file>", "its certificate in PEM")
    .option("--tls-ca <file>", "asks clients for certificates of these authorities")
    .option("--token <sha256:digest>", "a token that clients need; may be repeated", collect)
    .option("--admin-token <sha256:digest>", "one that may also load and unload models", collect)
    .option("--drain-ms <ms>", "how long to go on after SIGTERM (default: 5000)", integer)
    .option("--shutdown-ms <ms>", "how long requests may then take (default: 30000)", integer)
    .addOption(
      new Option("--log-level <level>", "the least that is logged").choices([
        ...["info", "warn", "error"],
      ]),
    )
    .option("--log-file <file>", "where the log goes (default: standard output)")
    .option("--no-exit-on-device-lost", "go on if a model has lost its last device")
    .option(
      "--check",
      "check the options and load the weights onto the CPU, and serve nothing",
      false,
    );
}

function list(value: string): string[] {
  return value.split(",").map((id) => id.trim());
}

/** Returns the options of the file with what the flags say in place. Models of flags are added to the file's. */
export function optionsOf(flags: ServeFlags, file: ServeOptions | undefined): ServeOptions {
  const { host, drainMs, shutdownMs, logLevel, logFile, token, adminToken } = flags;
  const models = { ...file?.models, ...modelsOf(flags) };
  if (Object.keys(models).length === 0)
    throw new RangeError("Expected --model NAME=WEIGHTS or --config FILE but received neither");
  const tls = given({ key: flags.tlsKey, cert: flags.tlsCert, ca: flags.tlsCa });
  return {
    ...file,
    models,
    http: listener(file?.http, flags.httpPort, host, tls),
    grpc: listener(file?.grpc, flags.grpcPort, host, tls),
    metrics: listener(file?.metrics, flags.metricsPort, host),
    ...(!flags.page && { page: false }),
    ...merged("access", file, { tokens: token, admin: adminToken }),
    ...merged("log", file, { level: logLevel, file: logFile }),
    ...(drainMs !== undefined && { drainMs }),
    ...(shutdownMs !== undefined && { shutdownMs }),
  };
}

function modelsOf(flags: ServeFlags): ServeOptions["models"] {
  const { model = [], device: devices, precision, labels, input, fallback, maxBatchSize } = flags;
  const shared = given({ devices, precision, labels, input, fallback });
  const batching = maxBatchSize === undefined ? {} : { batching: { maxBatchSize } };
  const models = new Map<string, object>();
  for (const text of model) {
    const [name, ...rest] = text.split("=");
    const weights = rest.join("=");
    if (!name || weights === "")
      throw new RangeError(
        `Expected NAME=WEIGHTS for --model but received ${JSON.stringify(text)}`,
      );
    if (models.has(name))
      throw new RangeError(`Expected another name for each --model but received ${name} twice`);
    models.set(name, { weights, ...shared, ...batching });
  }
  return Object.fromEntries(models);
}

function listener(
  file: unknown,
  port: Port | undefined,
  host: string | undefined,
  tls: object = {},
): unknown {
  if (port === false || (file === false && port === undefined)) return false;
  const before = typeof file === "object" && file !== null ? file : {};
  return { ...before, ...given({ host, port }), ...(Object.keys(tls).length > 0 && { tls }) };
}

/** A group of options in which flags replace single ones of the file. */
function merged(name: "access" | "log", file: ServeOptions | undefined, flags: object): object {
  const group = { ...(file?.[name] as object | undefined), ...given(flags) };
  return Object.keys(group).length === 0 ? {} : { [name]: group };
}

/** The properties that are not undefined. */
function given(options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
