// The server: it listens, loads its models, serves, and ends without losing a request.

import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { version } from "vgg-cudnn";
import { GrpcServer } from "./grpc/server.js";
import { httpApp } from "./http/app.js";
import { listenerOf } from "./http/listener.js";
import { HttpServer } from "./http-server.js";
import { metricsListener } from "./metrics-listener.js";
import { assemble, type Parts, serverName } from "./parts.js";
import { extensions } from "./protocol/extensions.js";
import { checkOptions, checkProtocols, type Listener } from "./settings/check.js";
import type { ServeOptions } from "./settings/options.js";
import { readTls } from "./settings/tls.js";

/** A server that serves. */
export interface Server {
  /** Where each protocol is served; absent if it is off. */
  readonly addresses: {
    readonly http?: AddressInfo;
    readonly grpc?: AddressInfo;
    readonly metrics?: AddressInfo;
  };
  /** Resolves with the name of a model that has lost its last device. Only a new process brings a GPU back. */
  readonly deviceLost: Promise<string>;
  /**
   * Loads every model anew, beside the present one.
   * @throws the first failure, after all models were tried; what cannot be loaded stays as it is
   */
  reload(): Promise<void>;
  /**
   * Ends the server: says that it is not ready and goes on for `drainMs`, then refuses new connections, and waits up to
   * `shutdownMs` for the requests under way. A second call waits for the same end.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A port that is served. */
interface Served {
  readonly name: "http" | "grpc" | "metrics";
  readonly address: AddressInfo;
  /** Says that the end is near. */
  drain?(): void;
  close(graceMs: number): Promise<void>;
}

/**
 * Serves models over REST, gRPC and Prometheus's format. The ports are open from the start, so that probes get answers;
 * the promise resolves when every model is ready.
 * @throws {TypeError} an option that is unknown, missing or wrong
 * @throws {ServeError} a model that cannot be loaded @throws the system's error if a port cannot be had
 * @example
 * const server = await serve({ models: { vgg11: { arch: "vgg11", weights: "DEFAULT" } } });
 * console.log(server.addresses.http);
 * process.once("SIGTERM", () => server.close());
 */
export async function serve(options: ServeOptions): Promise<Server> {
  checkProtocols(checkOptions(options));
  const parts = await assemble(options);
  const served: Served[] = [];
  try {
    for (const open of [openMetrics, openHttp, openGrpc]) {
      const port = await open(parts);
      if (port !== undefined) served.push(port);
    }
    const ports = Object.fromEntries(served.map(({ name, address }) => [name, address.port]));
    parts.log.info({ ...ports, version }, "listening");
    await parts.load();
  } catch (error) {
    await Promise.all(served.map(({ close }) => close(0)));
    await parts.close();
    throw error;
  }
  let end: Promise<void> | undefined;
  const close = () => {
    end ??= shutDown(parts, served);
    return end;
  };
  return {
    addresses: Object.fromEntries(served.map(({ name, address }) => [name, address])),
    deviceLost: parts.lost,
    reload: () => reloadAll(parts),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function openHttp({ settings, http }: Parts): Promise<Served | undefined> {
  if (settings.http === null) return undefined;
  const listener = listenerOf(httpApp(http), true);
  return openServer("http", settings.http, listener, settings.limits);
}

async function openGrpc(parts: Parts): Promise<Served | undefined> {
  const { settings, engine, access, onDefect } = parts;
  if (settings.grpc === null) return undefined;
  const { limits } = settings;
  const server = new GrpcServer(engine, {
    metadata: { name: serverName, version, extensions },
    gate: access,
    tls: await readTls(settings.grpc.tls, "grpc"),
    maxMessageBytes: limits.bodyBytes,
    maxBytesUnderWay: limits.heldBytes,
    maxConnections: limits.connections,
    bodyTimeoutMs: limits.bodyMs,
    onDefect,
  });
  const address = await server
    .listen(settings.grpc.port, settings.grpc.host)
    .catch(because("grpc"));
  return { name: "grpc", address, close: (graceMs) => server.close(graceMs) };
}

async function openMetrics({ settings, metrics }: Parts): Promise<Served | undefined> {
  if (settings.metrics === null) return undefined;
  return openServer("metrics", settings.metrics, metricsListener(metrics), settings.limits);
}

async function openServer(
  name: "http" | "metrics",
  listener: Listener,
  handle: ConstructorParameters<typeof HttpServer>[0],
  { connections, bodyMs }: Parts["settings"]["limits"],
): Promise<Served> {
  const tls = await readTls(listener.tls, name);
  const server = new HttpServer(handle, { tls, maxConnections: connections, requestMs: bodyMs });
  const address = await server.listen(listener).catch(because(name));
  return {
    name,
    address,
    drain: () => server.drain(),
    close: (graceMs) => server.close(graceMs),
  };
}

/** Makes a handler for `catch` that says which port cannot be had. */
const because = (name: "http" | "grpc" | "metrics") => (error: Error) => {
  error.message = `Cannot serve ${name}: ${error.message}`;
  throw error;
};

async function reloadAll({ registry }: Parts): Promise<void> {
  const results = await Promise.allSettled(registry.names().map((name) => registry.load(name)));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** Ends in the order that loses nothing: probes first, then new connections, then what is under way, then the models. */
async function shutDown(parts: Parts, served: readonly Served[]): Promise<void> {
  const { drainMs, shutdownMs } = parts.settings;
  parts.log.info({ drainMs, shutdownMs }, "shutting down");
  parts.health.drain();
  for (const { drain } of served) drain?.();
  if (drainMs > 0) await sleep(drainMs);
  const isMetrics = ({ name }: Served) => name === "metrics";
  await Promise.all(served.filter((one) => !isMetrics(one)).map(({ close }) => close(shutdownMs)));
  await Promise.all(served.filter(isMetrics).map(({ close }) => close(1000)));
  parts.log.info({}, "ended");
  await parts.close();
}
