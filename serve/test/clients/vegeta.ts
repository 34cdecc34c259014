// Load by vegeta: requests for labels at a rate, and how each one ended.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { program, run } from "./programs.ts";

/** How one request ended. */
export interface Hit {
  /** When it was sent, in ms since 1970. */
  readonly sentMs: number;
  readonly latencyMs: number;
  /** The status of HTTP; 0: there was no answer. */
  readonly code: number;
  readonly error: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
}

let attacks = 0;

/**
 * Sends images to `/classify` in turn.
 * @param rate requests in a second; 0: `workers` callers send the next one after each answer
 * @returns what happened to each request, in the order of their sending
 */
export async function attack(
  url: string,
  images: readonly string[],
  folder: string,
  { rate, seconds, workers }: { rate: number; seconds: number; workers?: number },
): Promise<Hit[]> {
  const path = join(folder, `attack-${attacks++}`);
  const targets = images.map(
    (image) => `POST http://${url}/classify?model=small&top=1\n@${image}\n`,
  );
  writeFileSync(`${path}.targets`, targets.join("\n"));
  const limits =
    workers === undefined ? [] : ["-workers", `${workers}`, "-max-workers", `${workers}`];
  const child = spawn(
    program("vegeta"),
    [
      ...["attack", "-targets", `${path}.targets`, "-output", `${path}.bin`, "-max-body", "400"],
      ...["-rate", `${rate}`, "-duration", `${seconds}s`, ...limits],
    ],
    { stdio: "inherit" },
  );
  const status = await new Promise((resolve) => child.once("exit", resolve));
  if (status !== 0) throw new Error(`vegeta has ended with ${status}`);
  const lines = (await run(program("vegeta"), "encode", `${path}.bin`)).trimEnd().split("\n");
  return lines
    .map((line) => {
      const { timestamp, latency, code, error, body, headers } = JSON.parse(line);
      return {
        sentMs: Date.parse(timestamp),
        latencyMs: latency / 1e6,
        code,
        error,
        body: Buffer.from(body ?? "", "base64").toString(),
        headers: headers ?? {},
      };
    })
    .sort((a, b) => a.sentMs - b.sentMs);
}

/** The value that a share of the values does not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}
