// Helpers for the tests of downloads: weights as if published, a server that has them, and an empty folder for each test.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeEach, expect, vi } from "vitest";
import { type PullOptions, pull } from "../../lib/download/hub.ts";
import { type KnownWeights, knownWeights } from "../../lib/index.ts";
import { type Answer, FileServer } from "./file-server.ts";

export const proxyVariables = ["http_proxy", "https_proxy", "no_proxy", "all_proxy"];
export const variables = [
  ...proxyVariables.flatMap((name) => [name, name.toUpperCase()]),
  ...["VGG_OFFLINE", "VGG_WEIGHTS_MIRROR", "TORCH_HOME", "XDG_CACHE_HOME"],
];
export const root = mkdtempSync(join(tmpdir(), "vgg-hub-"));
export let folder = "";
export let server: FileServer;

/** 300,000 bytes that differ from position to position. */
export const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 2_654_435_761) >>> 24);
export const half = 100_000;
export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
/** The table entry of a file, as if it had been published. */
export function entryOf(bytes: Uint8Array, more: Partial<KnownWeights> = {}): KnownWeights {
  const hashPrefix = sha256(bytes).slice(0, 8);
  const file = `vgg11-${hashPrefix}.pth`;
  const url = `https://download.pytorch.org/models/${file}`;
  return {
    ...knownWeights("vgg11"),
    hashPrefix,
    file,
    url,
    sizeMiB: bytes.length / 2 ** 20,
    ...more,
  };
}
export const weights = entryOf(content);
export const finalPath = () => join(folder, weights.file);
export const partPath = () => `${finalPath()}.part`;
export const expected = () => ({
  path: finalPath(),
  bytes: content.length,
  sha256: sha256(content),
});
export const pulled = (options: PullOptions = {}, entry = weights) =>
  pull(entry, { folder, mirror: server.url, retryDelayMs: 0, ...options });
/** Expects only the downloaded file in the folder. */
export const expectOnlyFile = () => {
  expect(readdirSync(folder)).toEqual([weights.file]);
  expect(sha256(readFileSync(finalPath()))).toBe(sha256(content));
};
export const answerWith =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    void response.writeHead(code, headers).end("not the file");

beforeEach(async () => {
  // A proxy of this machine is not part of the test.
  for (const name of variables) vi.stubEnv(name, undefined);
  folder = mkdtempSync(join(root, "folder-"));
  server = await new FileServer(content).start();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await server[Symbol.asyncDispose]();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

export interface Finished {
  status: number | null;
  stdout: string;
  stderr: string;
}
/** Runs a process to its end while the server of this process answers. */
export async function finished(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
  onStderr = () => {},
): Promise<Finished> {
  const child = spawn(command, args, { env: { ...process.env, ...env } });
  const result = { stdout: "", stderr: "" };
  child.stdout.on("data", (text) => (result.stdout += text));
  child.stderr.on("data", (text) => {
    result.stderr += text;
    onStderr();
  });
  const [code] = await once(child, "close");
  return { status: code, ...result };
}
export const fileOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));
export const puller = fileOf("../children/pull.mjs");
export const task = () =>
  JSON.stringify({ weights, options: { folder, mirror: server.url, retryDelayMs: 0 } });
