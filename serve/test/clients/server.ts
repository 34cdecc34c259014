// `vgg serve` from dist in a process of its own, and what its metrics say.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));

/** Where a server is, as HOST:PORT. */
export interface Addresses {
  readonly http: string;
  readonly grpc: string;
  readonly metrics: string;
}

/** A server that has said where it is. */
export interface Running extends Addresses {
  readonly child: ChildProcess;
  /** Everything on standard error so far. */
  readonly said: () => string;
  /** Resolves with the exit status, which is null after a signal that ends the process. */
  readonly ended: Promise<number | null>;
  /** Ends it in order. @returns the exit status */
  stop(): Promise<number | null>;
}

/** Starts the command on free ports and waits until its models are ready. Its log goes nowhere. */
export async function start(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Running> {
  const ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"];
  const child = spawn(process.execPath, [main, "serve", ...args, ...ports], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...env },
  });
  let said = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const ended = once(child, "exit").then(([status]) => status as number | null);
  const pattern = /REST at ([^,\s]+), gRPC at ([^,\s]+), metrics at ([^,/\s]+)/;
  const found = await new Promise<RegExpExecArray>((resolve, reject) => {
    child.stderr!.on("data", () => {
      const match = pattern.exec(said);
      if (match !== null) resolve(match);
    });
    ended.then(() => reject(new Error(`the server has ended: ${said}`)));
  });
  const [, http, grpc, metrics] = found as unknown as [string, string, string, string];
  const stop = () => {
    child.kill("SIGTERM");
    return ended;
  };
  return { http, grpc, metrics, child, said: () => said, ended, stop };
}

/** Runs another command of the package. @returns what it prints */
export function vgg(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`vgg ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** What `vgg classify` says of images, the best classes first. */
export function classify(
  weights: string,
  images: readonly string[],
  top: number,
): { index: number; label: string; probability: number }[][] {
  const args = ["--weights", weights, "--device", "cpu", "--top", String(top), "--json"];
  const results = JSON.parse(vgg("classify", ...args, ...images));
  return results.map(({ predictions }: { predictions: object[] }) => predictions);
}

/** Reads the metrics. @returns the sum of the samples of a name that have all these labels */
export async function readMetrics({ metrics }: Addresses) {
  const text = await (await fetch(`http://${metrics}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return (name: string, ...labels: string[]): number => {
    const found = lines.filter(
      (line) =>
        (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) &&
        labels.every((label) => line.includes(label)),
    );
    return found.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  };
}

/** Waits until a condition holds. It gives up after 30 s. */
export async function until(holds: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const end = Date.now() + 30_000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited 30 s for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
