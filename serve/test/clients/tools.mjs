// The clients that `npm run clients:fetch` puts into .cache/clients: their versions, and whether they are there.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Where the clients are. */
export const folder = fileURLToPath(new URL("../../../.cache/clients/", import.meta.url));

/** Every Python package with its version. */
export const requirements = fileURLToPath(new URL("python/requirements.txt", import.meta.url));

/** Go programs: the command, and the package with its version. */
export const goTools = {
  grpcurl: "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4",
  vegeta: "github.com/tsenart/vegeta/v12@v12.13.0",
};

export const perfAnalyzer = "2.60.0";

/** The parts of the folder, each with a file that it has and what decides its content. */
export const parts = {
  python: { file: "venv/bin/python", content: digest(readFileSync(requirements)) },
  grpcurl: { file: "bin/grpcurl", content: goTools.grpcurl },
  vegeta: { file: "bin/vegeta", content: goTools.vegeta },
  perf_analyzer: { file: "bin/perf_analyzer", content: perfAnalyzer },
};

/**
 * Whether a part is there in its present version.
 * @param {keyof typeof parts} name
 */
export function isThere(name) {
  const { file, content } = parts[name];
  const stamp = `${folder}${name}.stamp`;
  return existsSync(folder + file) && existsSync(stamp) && readFileSync(stamp, "utf8") === content;
}

/**
 * Says that a part is there, after it was made.
 * @param {keyof typeof parts} name
 */
export function setThere(name) {
  writeFileSync(`${folder}${name}.stamp`, parts[name].content);
}

/** @param {Buffer} bytes */
function digest(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}
