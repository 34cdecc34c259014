// Finds published weights in torch's cache or this package's; otherwise downloads them there once and verifies them.
import { constants } from "node:fs";
import { access, copyFile, rename, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  checkInteger,
  checkSignal,
  optionOf,
  rangeError,
  readOptions,
  typeError,
} from "../check.js";
import { VggError } from "../errors.js";
import { cacheFolder, torchCacheFolder } from "../files/cache-folder.js";
import { fileError, isMissing, withFile } from "../files/errors.js";
import { type Hashed, hashFile } from "../files/hash-file.js";
import { expandHome } from "../files/home.js";
import { despiteUse } from "../files/in-use.js";
import { makeFolder } from "../files/make-folder.js";
import { syncFolder } from "../files/sync-folder.js";
import { removeTemporary } from "../files/temporary-files.js";
import { underLock } from "../files/under-lock.js";
import { type DownloadOptions, discardEmptyPart, discardPart, type Progress } from "./download.js";
import { shown, withoutLogin } from "./http.js";
import { isOffline } from "./offline.js";
import { downloadWhole } from "./whole.js";

/** A file that its publisher names by its hash. */
export interface PublishedFile {
  /** The name of the file. */
  readonly file: string;
  /** The publisher's address of the file. */
  readonly url: string;
  /** The first hexadecimal digits of the file's SHA-256. */
  readonly hashPrefix: string;
  /** All 64 digits, if they are known. */
  readonly sha256?: string;
  /** The exact size, if it is known. */
  readonly bytes?: number;
  /** The size in MiB as its publisher states it. */
  readonly sizeMiB: number;
}

/** Options of `pullWeights`. */
export interface PullOptions {
  /**
   * The folder that is searched and downloaded to. Default: torch's cache if there is one, else `vgg-cudnn` in the user's
   * cache folder.
   */
  folder?: string | undefined;
  /** The address to use instead of https://download.pytorch.org/models/. Default: `VGG_WEIGHTS_MIRROR`. */
  mirror?: string | undefined;
  /** Stops at once. The received bytes are kept for the next call. */
  signal?: AbortSignal | undefined;
  /** A try fails if no byte arrives for this time, 1 … 86,400,000 ms. Default 30,000. */
  timeoutMs?: number | undefined;
  /** The number of consecutive retries that may bring no new byte, 0 … 100. Default 4. */
  retries?: number | undefined;
  /** The delay before the first retry, 0 … 60,000 ms. Each further retry waits twice as long. Default 500. */
  retryDelayMs?: number | undefined;
  /** Called as bytes arrive, and each second while another process downloads the file. Not called for a file found here. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /** Never uses the network. Default: true if `VGG_OFFLINE` is set to a value other than 0. */
  offline?: boolean | undefined;
}

export interface PulledWeights {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

const optionNames: readonly (keyof PullOptions)[] = [
  ...(["folder", "mirror", "signal", "timeoutMs", "retries"] as const),
  ...(["retryDelayMs", "onProgress", "offline"] as const),
];

function fromEnvironment(name: string): string | undefined {
  return process.env[name] || undefined;
}

/** Follows torch's rule: $TORCH_HOME, else torch/ in the cache folder; then hub/checkpoints. */
function torchFolder(cache: string): string {
  const home = fromEnvironment("TORCH_HOME") ?? join(cache, "torch");
  return join(resolve(expandHome(home)), "hub", "checkpoints");
}

async function isAllowed(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}

/** Returns the folders to search (`all`), and the one to download to (`own`). */
async function findFolders(folder?: string): Promise<{ all: string[]; own: string }> {
  if (folder !== undefined) return { all: [resolve(folder)], own: resolve(folder) };
  const torch = torchFolder(torchCacheFolder());
  const own = cacheFolder();
  const isTorchOurs = await isAllowed(torch, constants.W_OK | constants.X_OK);
  return { all: [torch, own], own: isTorchOurs ? torch : own };
}

function source(weights: PublishedFile, mirror: unknown, name: string): URL {
  if (mirror === undefined) return new URL(weights.url);
  if (typeof mirror !== "string") throw typeError("a string", name, mirror);
  const url = URL.canParse(mirror) ? new URL(mirror) : undefined;
  if (url === undefined || !["https:", "http:"].includes(url.protocol))
    throw rangeError("an address that begins with https:// or http://", name, withoutLogin(mirror));
  url.pathname = `${url.pathname.replace(/\/$/, "")}/${weights.file}`;
  return url;
}

function checkedOptions(weights: PublishedFile, given: PullOptions) {
  const options = readOptions(given, "options", optionNames);
  const { folder, signal, onProgress = () => {} } = options;
  const { timeoutMs = 30_000, retries = 4, retryDelayMs = 500 } = options;
  const { mirror = fromEnvironment("VGG_WEIGHTS_MIRROR") } = options;
  const { offline = isOffline() } = options;
  if (folder !== undefined && typeof folder !== "string")
    throw typeError("a string", "folder", folder);
  if (folder === "" || folder?.includes("\0")) throw rangeError("a path", "folder", folder);
  checkSignal(signal, "signal");
  if (typeof onProgress !== "function") throw typeError("a function", "onProgress", onProgress);
  if (typeof offline !== "boolean") throw typeError("a boolean", "offline", offline);
  const mirrorName = options.mirror === undefined ? "VGG_WEIGHTS_MIRROR" : "mirror";
  return {
    ...{ folder, signal, onProgress, offline },
    url: source(weights, mirror, mirrorName),
    timeoutMs: checkInteger(timeoutMs, "timeoutMs", 1, 86_400_000),
    retries: checkInteger(retries, "retries", 0, 100),
    retryDelayMs: checkInteger(retryDelayMs, "retryDelayMs", 0, 60_000),
  };
}

function isRight(weights: PublishedFile, file: Hashed): boolean {
  return file.sha256.startsWith(optionOf(weights, "sha256") ?? weights.hashPrefix);
}

function shownHash(weights: PublishedFile): string {
  return optionOf(weights, "sha256") ?? `${weights.hashPrefix}…`;
}

async function verifiedFile(
  folder: string,
  weights: PublishedFile,
  signal?: AbortSignal,
): Promise<PulledWeights | undefined> {
  const path = join(folder, weights.file);
  const file = await hashFile(path, signal);
  return file !== undefined && isRight(weights, file) ? { path, ...file } : undefined;
}

/** Renames a file to its final name. After a crash there is either no file or the whole one. */
async function publish(part: string, folder: string, file: string): Promise<void> {
  const path = join(folder, file);
  await withFile(path, () => despiteUse(() => rename(part, path)));
  await syncFolder(folder);
}

/** Adds to a failed download what `OFFLINE` says too: where to put the file. */
function withAdvice(error: unknown, folder: string, { file }: PublishedFile): unknown {
  if (!(error instanceof VggError) || error.code !== "DOWNLOAD_FAILED") return error;
  const { message, cause } = error;
  const advice = `; without a network, put ${file} into ${folder}`;
  return new VggError("DOWNLOAD_FAILED", message + advice, { cause });
}

/** Downloads a file under the lock, verifies it and publishes it. */
async function fetchVerified(
  folder: string,
  weights: PublishedFile,
  url: URL,
  options: DownloadOptions & { isHeld: () => Promise<boolean> },
): Promise<PulledWeights> {
  const part = join(folder, `${weights.file}.part`);
  // The stated size is rounded. The limit only keeps a faulty server from filling the disk.
  const expectedBytes = optionOf(weights, "bytes");
  const maxBytes = expectedBytes ?? Math.ceil((weights.sizeMiB + 1) * 2 ** 20);
  const file = await downloadWhole(url, part, { expectedBytes, maxBytes }, options, {
    isRight: (file) => isRight(weights, file),
    refusal: (file) =>
      new VggError(
        "HASH_MISMATCH",
        `Expected ${shown(url)} to have the SHA-256 ${shownHash(weights)} but received ` +
          `${file?.sha256} (${file?.bytes} bytes); nothing was kept`,
      ),
  }).catch((error) => {
    throw withAdvice(error, folder, weights);
  });
  if (!(await options.isHeld())) throw new Error("the lock was taken over");
  await publish(part, folder, weights.file);
  await discardPart(part).catch(() => {}); // the file is published
  return { path: join(folder, weights.file), ...file };
}

/** Replaces the partial file with a copy, because a former owner that may be alive can still write to the original. */
async function separate(part: string): Promise<void> {
  const copy = `${part}.copy`;
  try {
    await copyFile(part, copy);
    await despiteUse(() => rename(copy, part));
  } catch (error) {
    await removeTemporary(copy);
    if (!isMissing(error)) throw fileError(error, part);
  }
}

/** Reports another process's progress. */
async function showWaiting(
  part: string,
  weights: PublishedFile,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const receivedBytes = await stat(part).then(
    ({ size }) => size,
    () => 0,
  );
  onProgress({ receivedBytes, totalBytes: weights.bytes, isWaiting: true });
}

/** Does what `pullWeights` does for any published file. */
export async function pull(
  weights: PublishedFile,
  options: PullOptions = {},
): Promise<PulledWeights> {
  const { folder, signal, offline, url, ...rest } = checkedOptions(weights, options);
  signal?.throwIfAborted();
  const { all, own } = await findFolders(folder);
  for (const place of all) {
    const found = await verifiedFile(place, weights, signal);
    if (found !== undefined) return found;
  }
  if (offline) {
    throw new VggError(
      "OFFLINE",
      `Expected ${weights.file} with the SHA-256 ${shownHash(weights)} in ${all.join(" or ")}, and the network may not be used; ` +
        `put ${weights.file} into ${own}, from ${shown(url)}`,
    );
  }
  await withFile(own, () => makeFolder(own));

  const part = join(own, `${weights.file}.part`);
  const onWaiting = () => showWaiting(part, weights, rest.onProgress);
  return underLock(join(own, `${weights.file}.lock`), signal, onWaiting, async (lock, either) => {
    try {
      // Another process may have finished the download by now.
      const found = await verifiedFile(own, weights, signal);
      if (found !== undefined) return found;
      if (lock.isContested) await separate(part);
      const held = { signal: either, isHeld: lock.isHeld };
      return await fetchVerified(own, weights, url, { ...rest, ...held });
    } catch (error) {
      if (await lock.isHeld().catch(() => true)) await discardEmptyPart(part);
      throw error;
    }
  });
}
