// The worker: takes jobs of images from BullMQ's queue, classifies them in shared runs, and writes results under their keys.
import { setMaxListeners } from "node:events";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Job, Worker as Queue } from "bullmq";
import type { Redis } from "ioredis";
import { Replica } from "../engine/replica.js";
import { findVersions } from "../engine/versions.js";
import { HttpServer } from "../http-server.js";
import { metricsListener } from "../metrics-listener.js";
import { type Log, type LogTarget, openLog } from "../observe/log.js";
import { Classifier, isFatal } from "./classifier.js";
import { Counts, type WorkerCounts } from "./counts.js";
import { checkJob, type JobImage } from "./job.js";
import { type JobEnd, Jobs, unrecoverable } from "./jobs.js";
import { checkWorkerOptions, type WorkerOptions, type WorkerSettings } from "./options.js";
import { connect, loadPackages } from "./redis.js";
import { Results } from "./results.js";
import { Sources } from "./sources.js";

/** A worker that works. */
export interface Worker {
  /** What it has done. */
  readonly counts: WorkerCounts;
  /** Where Prometheus asks; absent if that is off. */
  readonly metricsAddress: AddressInfo | undefined;
  /** Resolves with the reason if it cannot go on, such as a lost GPU. Only a new process helps. */
  readonly failed: Promise<Error>;
  /**
   * Ends the worker: takes no more jobs, waits up to `shutdownMs` for those under way, and gives the others back to the
   * queue. Their results so far stay, and nothing is run again. A second call waits for the same end.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Full runs for which images are under way: one that runs, one that is decoded, and one that is read. */
const runsUnderWay = 3;

/** What the jobs of one queue that ended Redis keeps. */
const kept = { count: 1000 };

/**
 * Starts a worker on a queue. It takes jobs until `close`.
 * @throws {TypeError} wrong options, a folder that is not there, or bullmq and ioredis are not installed
 * @throws {Error} Redis cannot be reached @throws {VggError} the model cannot be loaded
 * @example
 * const worker = await startWorker({ model: { weights: "vgg11.safetensors" }, allow: { folders: ["/data/images"] } });
 * process.once("SIGTERM", () => worker.close());
 * worker.failed.then(() => process.exit(1));
 */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const settings = checkWorkerOptions(options);
  const packages = await loadPackages();
  const sources = await Sources.open(settings.folders, settings.urls, settings);
  const ownLog: Log | undefined = settings.logger ? undefined : openLog(settings.log);
  const log: LogTarget = settings.logger ?? ownLog!;
  const onError = (error: Error) => log.warn({ reason: error.message }, "an error of Redis");
  // What was opened, the last one first.
  const opened: (() => unknown)[] = [() => ownLog?.close()];
  const undo = async () => {
    // One that fails does not keep the others open.
    for (const close of opened.splice(0).reverse())
      await Promise.resolve(close()).catch((error: Error) =>
        log.warn({ reason: error.message }, "a close has failed"),
      );
  };
  try {
    const redis = await connect(packages, settings.redis, onError);
    opened.push(() => redis.disconnect());
    const replica = await loadReplica(settings);
    opened.push(() => replica.dispose());
    const queue = new packages.bullmq.Worker(settings.queue, null, {
      connection: redis,
      autorun: false,
      ...{ lockDuration: settings.lockMs, stalledInterval: settings.lockMs },
      ...{ maxStalledCount: settings.maxStalls, removeOnComplete: kept, removeOnFail: kept },
      drainDelay: 1,
    });
    opened.push(() => queue.close(true));
    queue.on("error", onError);
    queue.on("stalled", (job) => log.warn({ job }, "taken from a worker that is silent"));
    const work = new Work(settings, redis, replica, sources, queue, log);
    const metricsAddress = await openMetrics(settings, work.tally, opened);
    await queue.startStalledCheckTimer();
    work.jobs.start();
    log.info({ queue: settings.queue, device: replica.device.id }, "working");
    let end: Promise<void> | undefined;
    const close = () => {
      end ??= (async () => {
        log.info({ shutdownMs: settings.shutdownMs }, "shutting down");
        await work.jobs.end(settings.shutdownMs);
        log.info({ ...work.tally.values }, "ended");
        await undo();
        await work.jobs.idle;
      })();
      return end;
    };
    return {
      get counts() {
        return work.tally.values;
      },
      ...{ metricsAddress, failed: work.failed, close, [Symbol.asyncDispose]: close },
    };
  } catch (error) {
    await undo();
    throw error;
  }
}

async function loadReplica({ model, device, maxPixels }: WorkerSettings): Promise<Replica> {
  const [version] = await findVersions(model);
  const source = { name: "vgg11", weights: version!.weights, options: model, maxPixels };
  return Replica.load(source, device, new AbortController().signal);
}

async function openMetrics(
  { metrics }: WorkerSettings,
  counts: Counts,
  opened: (() => unknown)[],
): Promise<AddressInfo | undefined> {
  if (metrics === null) return undefined;
  const limits = { tls: undefined, maxConnections: 64, requestMs: 10_000 };
  const server = new HttpServer(metricsListener(counts), limits);
  const address = await server.listen(metrics);
  opened.push(() => server.close(0));
  return address;
}

/** Redis did not take or give results. It is no failure of the job, which goes back to the queue. */
class NotStored extends Error {}

const stored = <Value>(call: Promise<Value>): Promise<Value> =>
  call.catch((cause: Error) => {
    throw new NotStored(cause.message, { cause });
  });

/** The wait before such a job goes back. */
const pauseMs = 1000;

/** The work on jobs. */
class Work {
  readonly tally: Counts;
  readonly jobs: Jobs;
  readonly failed: Promise<Error>;
  readonly #settings: WorkerSettings;
  readonly #classifier: Classifier;
  readonly #results: Results;
  readonly #log: LogTarget;
  #fail: (error: Error) => void = () => {};
  /** Images of the jobs that the worker has and that have no result yet. */
  #images = 0;

  constructor(
    settings: WorkerSettings,
    redis: Redis,
    { vgg, batchSizes }: Replica,
    sources: Sources,
    queue: Queue,
    log: LogTarget,
  ) {
    const places = runsUnderWay * batchSizes.at(-1)!;
    this.#settings = settings;
    this.tally = new Counts(() => this.#images);
    this.#classifier = new Classifier(vgg, sources, this.tally, { ...settings, places });
    this.#results = new Results(redis, settings.prefix, settings.expireSeconds);
    this.#log = log;
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
    const hasRoom = () => this.#images < places;
    const onError = (error: Error) => log.warn({ reason: error.message }, "an error of Redis");
    this.jobs = new Jobs(
      queue,
      settings,
      hasRoom,
      (job, signal) => this.#run(job, signal),
      onError,
    );
  }

  /** Does a job. It never throws. */
  async #run(job: Job, signal: AbortSignal): Promise<JobEnd> {
    const start = performance.now();
    const tally = { images: 0, failed: 0, skipped: 0 };
    const end = await this.#do(job, signal, tally);
    const totalMs = Math.round(performance.now() - start);
    this.tally.job(end.kind, totalMs);
    const reason = end.kind === "failed" ? { reason: end.error.message } : {};
    const fields = { kind: "job", job: job.id, outcome: end.kind, ...tally, totalMs, ...reason };
    if (end.kind === "completed") this.#log.info(fields);
    else this.#log.warn(fields);
    return end;
  }

  async #do(
    job: Job,
    signal: AbortSignal,
    tally: { images: number; failed: number; skipped: number },
  ): Promise<JobEnd> {
    const images = this.#read(job.data);
    if (images instanceof Error) return { kind: "failed", error: images };
    tally.images = images.length;
    // One image that cannot go on ends the others of the job.
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    // Each image of the job listens.
    setMaxListeners(0, either);
    this.#images += images.length;
    let pending = images.length;
    const finishImages = (count: number) => {
      pending -= count;
      this.#images -= count;
      this.jobs.wake();
    };
    try {
      const present = await stored(this.#results.present(images.map(({ key }) => key)));
      tally.skipped = present.size;
      this.tally.image("skipped", present.size);
      finishImages(present.size);
      const one = async (image: JobImage) => {
        const result = await this.#classifier.run(image, either);
        either.throwIfAborted();
        await stored(this.#results.write(image.key, result));
        const isFailed = "error" in result;
        if (isFailed) tally.failed += 1;
        this.tally.image(isFailed ? "failed" : "done");
        finishImages(1);
      };
      const rest = images.filter(({ key }) => !present.has(key));
      await Promise.allSettled(
        rest.map((image) =>
          one(image).catch((error: unknown) => {
            stop.abort(error);
          }),
        ),
      );
      // The reason of the first failure in time. The others only follow it.
      stop.signal.throwIfAborted();
      return { kind: "completed", value: tally };
    } catch (error) {
      if (!signal.aborted) {
        this.#log.error({ job: job.id, error }, "a job cannot go on");
        if (isFatal(error)) {
          this.jobs.stop();
          this.#fail(error as Error);
        } else if (error instanceof NotStored)
          await sleep(pauseMs, undefined, { signal }).catch(() => {});
        else return { kind: "failed", error: error as Error };
      }
      return { kind: "released" };
    } finally {
      finishImages(pending);
    }
  }

  #read(data: unknown): readonly JobImage[] | Error {
    try {
      return checkJob(data, this.#settings.imagesPerJob);
    } catch (error) {
      const { code, message } = error as Error & { code: string };
      return unrecoverable(`${code}: ${message}`);
    }
  }
}
