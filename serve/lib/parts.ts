// The parts of a server, put together from its settings: log, statistics, models, engine, access and metrics.
import { version } from "vgg-cudnn";
import { Access } from "./access/access.js";
import { InferenceEngine } from "./engine/infer.js";
import { ModelRegistry } from "./engine/registry.js";
import { ServeError } from "./errors.js";
import { ServerHealth } from "./health.js";
import type { HttpServices } from "./http/context.js";
import { type Log, type LogTarget, logRequest, openLog } from "./observe/log.js";
import { Metrics } from "./observe/metrics.js";
import { ModelCounts } from "./observe/statistics.js";
import { openTracer } from "./observe/trace.js";
import { checkOptions, type Settings } from "./settings/check.js";
import type { ServeOptions } from "./settings/options.js";

/** The name that the server gives itself. */
export const serverName = "vgg-cudnn-serve";

/** How often devices without requests are asked whether they work. */
const checkMs = 1000;

/** Everything behind the protocols. */
export interface Parts {
  readonly settings: Settings;
  readonly engine: InferenceEngine;
  readonly registry: ModelRegistry;
  readonly health: ServerHealth;
  readonly access: Access;
  readonly metrics: Metrics;
  readonly log: LogTarget;
  /** Resolves with a model's name when its last device is lost and nothing takes over. */
  readonly lost: Promise<string>;
  /** What REST needs. */
  readonly http: HttpServices;
  /** Is told of defects, which clients learn nothing of. */
  readonly onDefect: (error: unknown) => void;
  /** Loads every model, one after the other. @throws the first failure; the models before it stay loaded */
  load(): Promise<void>;
  /** Waits for the requests under way, and gives everything back. */
  close(): Promise<void>;
}

/** @throws {TypeError} wrong options @throws the system's error if the log cannot be opened */
export async function assemble(options: ServeOptions): Promise<Parts> {
  const settings = checkOptions(options);
  const { logger, limits } = settings;
  const ownLog: Log | undefined = logger === undefined ? openLog(settings.log) : undefined;
  const log: LogTarget = logger ?? ownLog!;
  const statistics = new ModelCounts();
  let lose: (model: string) => void = () => {};
  const lost = new Promise<string>((resolve) => {
    lose = resolve;
  });
  const registry = new ModelRegistry(settings, {
    onLoaded: (model) => statistics.add(model.name, model.version),
    onUnloaded: (name, number) => statistics.remove(name, number),
    onLost: (name) => {
      health.lose(name);
      lose(name);
    },
    say: (level, fields, message) => log[level](fields, message),
  });
  const health = new ServerHealth(registry);
  const engine = new InferenceEngine(registry, { statistics, health, limits });
  const access = new Access(settings.access);
  const metrics = new Metrics({
    statistics,
    waiting: () => registry.waiting(),
    devices: () => registry.devices(),
    loads: () => registry.loads(),
    droppedLogLines: () => ownLog?.droppedLines ?? 0,
  });
  statistics.onRecord((record) => logRequest(log, record));
  const tracer = await openTracer(version);
  if (tracer !== null) statistics.onRecord(tracer);
  const watch = setInterval(() => registry.check(), checkMs);
  watch.unref();
  const onDefect = (error: unknown) => log.error({ error: causeOf(error) }, "a defect");
  const { bodyBytes, heldBytes, jsonTensorBytes, imagesPerRequest } = limits;
  return {
    ...{ settings, engine, registry, health, access, metrics, log, lost, onDefect },
    http: {
      ...{ engine, access, onDefect },
      limits: { bodyBytes, heldBytes, jsonTensorBytes, imagesPerRequest },
      page: settings.page,
      server: { name: serverName, version },
    },
    async load() {
      for (const name of registry.names()) await registry.load(name);
    },
    async close() {
      clearInterval(watch);
      await registry.close();
      metrics.close();
      await ownLog?.close();
    },
  };
}

/** An error of the server stands for what was thrown. */
function causeOf(error: unknown): unknown {
  return error instanceof ServeError ? (error.cause ?? error) : error;
}
