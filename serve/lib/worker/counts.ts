// What a worker has done, as numbers and for Prometheus.
import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** What a worker has done since its start. */
export interface WorkerCounts {
  /** Images with classes. */
  readonly images: number;
  /** Images with a failure as their result. */
  readonly failedImages: number;
  /** Images that had a result already. */
  readonly skippedImages: number;
  /** Jobs whose images all have results. */
  readonly jobs: number;
  /** Jobs with invalid data. */
  readonly failedJobs: number;
  /** Jobs that went back to the queue, or to another worker. */
  readonly releasedJobs: number;
  /** Runs of the device, and so `images` / `runs` is the mean batch. */
  readonly runs: number;
}

export class Counts {
  readonly #registry = new Registry();
  readonly #images: Counter<"outcome">;
  readonly #jobs: Counter<"outcome">;
  readonly #batches: Histogram;
  readonly #seconds: Histogram;
  readonly #values = { images: 0, failedImages: 0, skippedImages: 0 };
  readonly #jobValues = { jobs: 0, failedJobs: 0, releasedJobs: 0 };
  #runs = 0;

  /** @param underWay how many images the worker has now */
  constructor(underWay: () => number) {
    const registers = [this.#registry];
    this.#images = new Counter({
      name: "vgg_worker_images_total",
      help: "Images by what became of them: done, failed, skipped.",
      labelNames: ["outcome"],
      registers,
    });
    this.#jobs = new Counter({
      name: "vgg_worker_jobs_total",
      help: "Jobs by what became of them: completed, failed, released.",
      labelNames: ["outcome"],
      registers,
    });
    this.#batches = new Histogram({
      name: "vgg_batch_images",
      help: "Images of the run that had an image.",
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
      registers,
    });
    this.#seconds = new Histogram({
      name: "vgg_worker_job_seconds",
      help: "Time from the start of a job to its end.",
      buckets: [0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300],
      registers,
    });
    new Gauge({
      name: "vgg_worker_images_under_way",
      help: "Images of the jobs that the worker has.",
      registers,
      collect() {
        this.set(underWay());
      },
    });
    for (const outcome of ["done", "failed", "skipped"]) this.#images.inc({ outcome }, 0);
    for (const outcome of ["completed", "failed", "released"]) this.#jobs.inc({ outcome }, 0);
  }

  image(outcome: "done" | "failed" | "skipped", count = 1): void {
    const names = { done: "images", failed: "failedImages", skipped: "skippedImages" } as const;
    this.#values[names[outcome]] += count;
    this.#images.inc({ outcome }, count);
  }

  job(outcome: "completed" | "failed" | "released", ms: number): void {
    const names = { completed: "jobs", failed: "failedJobs", released: "releasedJobs" } as const;
    this.#jobValues[names[outcome]] += 1;
    this.#jobs.inc({ outcome });
    this.#seconds.observe(ms / 1000);
  }

  /** One image took part in a run of `batchSize` images. */
  run(batchSize: number): void {
    this.#batches.observe(batchSize);
    this.#runs += 1 / batchSize;
  }

  get values(): WorkerCounts {
    return { ...this.#values, ...this.#jobValues, runs: Math.round(this.#runs) };
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
