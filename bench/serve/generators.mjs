// The load generators: wrk for HTTP/1.1 and h2load for gRPC. Each is a process; both give images and percentiles.
import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const script = fileURLToPath(new URL("wrk.lua", import.meta.url));

/** The names of the programs that are not installed. */
export async function missingGenerators() {
  const found = await Promise.all(
    ["wrk", "h2load"].map(async (name) => {
      const absent = await run(name, ["--version"]).then(
        () => false,
        ({ code }) => code === "ENOENT",
      );
      return absent ? [name] : [];
    }),
  );
  return found.flat();
}

const lua = (value) => JSON.stringify(value);

/** @param request `{ url, headers, body }`; the body is a file @returns images, p50, p95, p99; times in ms */
async function wrk({ url, headers, body }, connections, seconds, scratch) {
  const file = join(scratch, "request.lua");
  const fields = Object.entries(headers).map(([name, value]) => `[${lua(name)}]=${lua(value)}`);
  writeFileSync(file, `return { body = ${lua(body)}, headers = { ${fields.join(", ")} } }`);
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--timeout", "60s", "-s", script];
  const { stdout } = await run("wrk", [...args, url], {
    env: { ...process.env, WRK_REQUEST: file },
  });
  const { failed, ...figures } = JSON.parse(stdout.slice(stdout.lastIndexOf("\n{")));
  if (failed > 0 || figures.images === 0)
    throw new Error(`${url}: ${failed} of ${figures.images} requests failed`);
  return figures;
}

/** As `wrk`, with one stream on each connection. */
async function h2load({ url, headers, body }, connections, seconds, scratch) {
  const log = join(scratch, "h2load.log");
  rmSync(log, { force: true });
  const fields = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const args = ["-t1", `-c${connections}`, "-m1", `-D${seconds}`, `--log-file=${log}`];
  const { stdout } = await run("h2load", [...args, "-d", body, ...fields, url]);
  const lines = readFileSync(log, "utf8").trim().split("\n");
  // The start in µs since 1970, the status, and the duration in µs. What is under way at the end is not in the file.
  const rows = lines.map((line) => line.split("\t").map(Number));
  const done = rows.filter(([, status]) => status === 200);
  if (done.length === 0 || done.length < rows.length)
    throw new Error(`${url}: ${rows.length - done.length} of ${rows.length} failed\n${stdout}`);
  const times = done.map(([, , duration]) => duration / 1000).sort((a, b) => a - b);
  const at = (share) => times[Math.ceil(share * times.length) - 1];
  return { images: done.length, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

export const generators = { wrk, h2load };
