// The public names of `vgg-cudnn-serve/worker`, and nothing else.
export type { WorkerCounts } from "./counts.js";
export type { JobData, JobImage, WorkerErrorCode } from "./job.js";
export type {
  AllowOptions,
  ResultOptions,
  WorkerLimitOptions,
  WorkerOptions,
} from "./options.js";
export type { ImageResult } from "./results.js";
export { startWorker, type Worker } from "./worker.js";
