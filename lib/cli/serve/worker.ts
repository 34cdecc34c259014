// `vgg worker`: classifies the images of jobs in Redis until a signal ends it.
import { type Command, Option } from "commander";
import { precisions } from "../../dtype.js";
import { architectures } from "../../vgg/topology.js";
import { integer, plainCommand, withRequired } from "../options.js";
import { writeError } from "../text.js";
import { installation, loadWorker } from "./package.js";
import { runWithThreads } from "./threads.js";

interface WorkerFlags {
  weights: string;
  arch?: string;
  device?: string;
  precision?: string;
  labels?: string;
  maxBatchSize?: number;
  redis?: string;
  queue?: string;
  top?: number;
  allowFolder?: readonly string[];
  allowUrl?: readonly string[];
  resultPrefix?: string;
  expireSeconds?: number;
  attempts?: number;
  lockMs?: number;
  shutdownMs?: number;
  metricsPort?: number;
  host?: string;
  logLevel?: string;
  logFile?: string;
}

const collect = (value: string, before: readonly string[] = []) => [...before, value];

export function workerCommand(): Command {
  const command = plainCommand("worker", "classify the images of jobs in Redis (BullMQ)")
    .option("--weights <file>", "a file or folder of weights, or DEFAULT")
    .addOption(new Option("--arch <name>", "the architecture").choices(architectures))
    .option("--device <id>", "auto, cpu, cuda or cuda:0")
    .addOption(new Option("--precision <name>", "arithmetic").choices(precisions))
    .option("--labels <file>", "names of the classes")
    .option("--max-batch-size <count>", "the most images of one run", integer)
    .addOption(
      new Option("--redis <address>", "redis://, rediss:// or a socket's path")
        .env("VGG_REDIS")
        .default(undefined, "redis://127.0.0.1:6379"),
    )
    .option("--queue <name>", "the name of the queue (default: vgg)")
    .option("--top <count>", "classes of each result (default: 5)", integer)
    .option("--allow-folder <folder>", "jobs may name files in it; may be repeated", collect)
    .option(
      "--allow-url <prefix>",
      "jobs may name URLs that begin with this; may be repeated",
      collect,
    )
    .option("--result-prefix <text>", "precedes the keys of results (default: vgg:result:)")
    .option("--expire-seconds <count>", "when Redis deletes a result (default: never)", integer)
    .option("--attempts <count>", "tries of an image if its failure may pass (default: 3)", integer)
    .option("--lock-ms <ms>", "when a silent worker loses its jobs (default: 30000)", integer)
    .option("--shutdown-ms <ms>", "how long jobs may take after SIGTERM (default: 30000)", integer)
    .option("--metrics-port <port>", "port of Prometheus (default: off)", integer)
    .option("--host <address>", "where --metrics-port listens (default: 127.0.0.1)")
    .addOption(
      new Option("--log-level <level>", "the least that is logged").choices([
        ...["info", "warn", "error"],
      ]),
    )
    .option("--log-file <file>", "where the log goes (default: standard output)");
  return withRequired(command, "--weights <file>").action(work);
}

async function work(flags: WorkerFlags): Promise<void> {
  const loaded = await loadWorker();
  if (loaded === undefined) {
    writeError(`vgg: the worker is in a package of its own; install it with: ${installation}\n`);
    process.exitCode = 1;
    return;
  }
  if (await runWithThreads()) return;
  let end = () => process.exit(0);
  // The first signal ends the worker in order, the second one at once.
  for (const signal of ["SIGTERM", "SIGINT", "disconnect"]) process.on(signal, () => end());
  const worker = await loaded.startWorker(optionsOf(flags));
  const status = await new Promise<number>((resolve) => {
    end = () => {
      end = () => process.exit(1);
      resolve(0);
      return undefined as never;
    };
    worker.failed.then(({ message }) => {
      writeError(`vgg: ${message}\n`);
      resolve(1);
    });
  });
  await worker.close();
  process.exit(status);
}

function optionsOf(flags: WorkerFlags): object {
  if (flags.host !== undefined && flags.metricsPort === undefined)
    throw new RangeError(
      "Expected --metrics-port beside --host, which is where metrics are served",
    );
  const { weights, arch, device, precision, labels, maxBatchSize, metricsPort, host } = flags;
  const { redis, queue, top, attempts, lockMs, shutdownMs } = flags;
  return {
    model: given({
      ...{ weights, arch, precision, labels },
      devices: device === undefined ? undefined : [device],
      batching: maxBatchSize === undefined ? undefined : { maxBatchSize },
    }),
    ...given({ redis, queue, top, attempts, lockMs, shutdownMs }),
    allow: given({ folders: flags.allowFolder, urls: flags.allowUrl }),
    results: given({ prefix: flags.resultPrefix, expireSeconds: flags.expireSeconds }),
    log: given({ level: flags.logLevel, file: flags.logFile }),
    ...(metricsPort !== undefined && { metrics: given({ host, port: metricsPort }) }),
  };
}

/** The properties that are not undefined. */
function given(options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
