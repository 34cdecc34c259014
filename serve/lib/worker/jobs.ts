// Takes jobs from BullMQ while there is room, keeps them while they run, and gives back what cannot end.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Job, Worker as Queue } from "bullmq";

/** A job that runs. */
interface Held {
  readonly job: Job;
  readonly stop: AbortController;
}

export interface JobsSettings {
  readonly lockMs: number;
  /** The most jobs at one time. */
  readonly jobs: number;
}

/** What becomes of a job. */
export type JobEnd =
  | { readonly kind: "completed"; readonly value: unknown }
  | { readonly kind: "failed"; readonly error: Error }
  /** It goes back to the queue, if it is still this worker's. */
  | { readonly kind: "released" };

/** An error after which BullMQ does not try the job again, whatever its attempts are: it goes by the name. */
export function unrecoverable(message: string): Error {
  return Object.assign(new Error(message), { name: "UnrecoverableError" });
}

/** The wait after an error of Redis. */
const pauseMs = 250;

/** A queue that is paused answers at once. */
const idleMs = 100;

export class Jobs {
  readonly #queue: Queue;
  readonly #settings: JobsSettings;
  readonly #hasRoom: () => boolean;
  readonly #run: (job: Job, signal: AbortSignal) => Promise<JobEnd>;
  readonly #onError: (error: Error) => void;
  readonly #token = randomUUID();
  readonly #held = new Set<Held>();
  readonly #running = new Set<Promise<void>>();
  #renewal: NodeJS.Timeout | undefined;
  #isEnding = false;
  #wake: () => void = () => {};
  #taking: Promise<void> = Promise.resolve();

  /**
   * @param hasRoom whether another job is to be taken
   * @param run does a job. Its signal is aborted when the job is another worker's, or must be given back
   */
  constructor(
    queue: Queue,
    settings: JobsSettings,
    hasRoom: () => boolean,
    run: (job: Job, signal: AbortSignal) => Promise<JobEnd>,
    onError: (error: Error) => void,
  ) {
    this.#queue = queue;
    this.#settings = settings;
    this.#hasRoom = hasRoom;
    this.#run = run;
    this.#onError = onError;
  }

  /** Begins to take jobs. */
  start(): void {
    this.#renewal = setInterval(() => void this.#renew(), this.#settings.lockMs / 3);
    this.#taking = this.#take();
  }

  /** Takes no more jobs. Those that run go on. */
  stop(): void {
    this.#isEnding = true;
    this.#wake();
  }

  /** Says that there may be room again. */
  wake(): void {
    this.#wake();
  }

  /** Takes no more jobs, waits for those that run, and gives back what then remains. */
  async end(waitMs: number): Promise<void> {
    this.stop();
    const settled = Promise.all(this.#running);
    const timeUp = new AbortController();
    await Promise.race([
      settled,
      sleep(waitMs, undefined, { signal: timeUp.signal }).catch(() => {}),
    ]);
    timeUp.abort();
    for (const { stop } of this.#held) stop.abort(new Error("the worker ends"));
    await Promise.all(this.#running);
    clearInterval(this.#renewal);
  }

  /** Resolves when no call for a job waits any more: after the queue was closed. */
  get idle(): Promise<void> {
    return this.#taking;
  }

  async #take(): Promise<void> {
    while (!this.#isEnding) {
      if (this.#held.size >= this.#settings.jobs || !this.#hasRoom()) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const start = performance.now();
      const job = await this.#queue.getNextJob(this.#token).catch((error: Error) => {
        if (!this.#isEnding) this.#onError(error);
        return undefined;
      });
      if (job !== undefined) this.#begin(job);
      else if (!this.#isEnding && performance.now() - start < idleMs) await sleep(pauseMs);
    }
  }

  #begin(job: Job): void {
    const held = { job, stop: new AbortController() };
    if (this.#isEnding) held.stop.abort(new Error("the worker ends"));
    this.#held.add(held);
    const done = this.#do(held).finally(() => {
      this.#held.delete(held);
      this.#running.delete(done);
      this.#wake();
    });
    this.#running.add(done);
  }

  async #do({ job, stop }: Held): Promise<void> {
    // BullMQ hands a job that stalled too often to a worker once more, only to fail it.
    const end: JobEnd = job.deferredFailure
      ? { kind: "failed", error: unrecoverable(job.deferredFailure) }
      : await this.#run(job, stop.signal);
    try {
      if (end.kind === "completed") await job.moveToCompleted(end.value, this.#token, false);
      else if (end.kind === "failed") await job.moveToFailed(end.error, this.#token, false);
      else await job.moveToWait(this.#token);
    } catch (error) {
      // The job is another worker's by now, or Redis has lost it. Its results are written.
      this.#onError(error as Error);
    }
  }

  /** Makes the locks of the jobs longer. A job whose lock is gone is another worker's. */
  async #renew(): Promise<void> {
    const renewed = [...this.#held].map(async ({ job, stop }) => {
      try {
        await job.extendLock(this.#token, this.#settings.lockMs);
      } catch (error) {
        this.#onError(error as Error);
        if (/lock/i.test((error as Error).message)) stop.abort(new Error("the job was taken"));
      }
    });
    await Promise.all(renewed);
  }
}
