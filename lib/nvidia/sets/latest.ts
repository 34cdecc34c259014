// Makes a set of NVIDIA's libraries from what a package index has: the newest versions, or versions up to given ones.
import { inflateRawSync } from "node:zlib";
import { bare } from "../../check.js";
import { type DownloadOptions, parseContentRange, RangeRefused } from "../../download/download.js";
import { openClient, refusal } from "../../download/http.js";
import { isOffline } from "../../download/offline.js";
import { retrying } from "../../download/retry.js";
import { VggError } from "../../errors.js";
import { checkLocalHeader, localHeaderBytes, type ZipEntry } from "../../files/zip-directory.js";
import { type PackageIndex, resolveIndex } from "../package-index.js";
import { type Link, readPage } from "../simple-index.js";
import type { Wheel, WheelMember } from "../types.js";
import { otherWheel, RemoteWheel, readWheelDirectory } from "../wheel-source.js";
import { type CudaMajor, type LibrarySet, nameOnDisk, thisPlatform } from "./set.js";
import { compareReleases, readWheelName, releaseOf } from "./versions.js";

type Package = readonly [name: string, major: number];

/** The packages of a CUDA major, and the first number that their versions must have. */
const usualPackages: Readonly<Record<CudaMajor, readonly Package[]>> = {
  12: [
    ["nvidia-cudnn-cu12", 9],
    ["nvidia-cublas-cu12", 12],
    ["nvidia-cuda-nvrtc-cu12", 12],
  ],
  13: [
    ["nvidia-cudnn-cu13", 9],
    ["nvidia-cublas", 13],
    ["nvidia-cuda-nvrtc", 13],
  ],
};

/** The files that a GPU needs, by their names in Linux's and Windows' wheels; cuDNN's part for attention is not needed. */
const needed = [
  /^libcudnn(_(?!adv\b)[a-z_]+)?\.so\.9$/,
  /^cudnn(_(?!adv64)[a-z_]+)?64_9\.dll$/,
  /^libcublasLt\.so\.\d+$/,
  /^cublasLt64_\d+\.dll$/,
  /^libnvrtc(-builtins)?\.so\.[\d.]+$/,
  /^nvrtc(-builtins)?64_[\d_]+\.dll$/,
];

/** Whether a set takes a file of a wheel: a library that is needed, or the licence. */
export function isTaken(path: string): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1);
  if (path.includes(".dist-info/")) return /^licen[cs]e(\.txt)?$/i.test(name);
  return needed.some((pattern) => pattern.test(name));
}

export interface SetRequest {
  /** The address of a package index. Default: what pip is configured to use, else NVIDIA's. */
  readonly index?: string | undefined;
  /** Default: this machine's. */
  readonly platform?: string;
  /** The newest version of a package to take, by its name. Default: any. */
  readonly atMost?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Which files of a wheel to take. Default: what a GPU needs. */
  readonly takes?: (path: string) => boolean;
  /** Default: cuDNN's, cuBLAS's and NVRTC's. */
  readonly packages?: readonly Package[];
}

interface Candidate {
  readonly link: Link;
  readonly version: string;
  readonly release: readonly number[];
}

/** Returns the newest wheel of a page that fits. */
function newest(
  links: readonly Link[],
  platform: string,
  { major, bound }: { major: number; bound: readonly number[] | undefined },
): Candidate | undefined {
  const candidates = links.flatMap((link): Candidate[] => {
    const name = readWheelName(link.file);
    const release = name && releaseOf(name.version);
    if (name?.platform !== platform || release === undefined || link.isYanked) return [];
    if (release[1] !== major || (bound && compareReleases(release, bound) > 0)) return [];
    return [{ link, version: name.version, release }];
  });
  return candidates.sort((a, b) => compareReleases(b.release, a.release))[0];
}

type Options = DownloadOptions & { readonly signal: AbortSignal };

/** Finds the newest fitting wheel of a package. The indexes are asked in their order; the first that has one counts. */
async function findNewest(
  index: PackageIndex,
  [name, major]: Package,
  { platform = thisPlatform(), atMost = {} }: SetRequest,
  options: Options,
): Promise<Candidate> {
  const bound = atMost[name] === undefined ? undefined : releaseOf(atMost[name]);
  const problems: string[] = [];
  const pages = index.pages(name);
  for (const [i, page] of pages.entries()) {
    const retries = i === pages.length - 1 ? options.retries : Math.min(1, options.retries);
    try {
      const links = await readPage(index, page, { ...options, retries });
      const found = newest(links, platform, { major, bound });
      if (found !== undefined) return found;
      problems.push(`${index.shown[i]} has no final version ${major} of it for ${platform}`);
    } catch (error) {
      if (!(error instanceof VggError) || error.code !== "DOWNLOAD_FAILED") throw error;
      problems.push(error.message);
    }
  }
  const text = `Could not find a version of ${name}: ${problems.join("; ")}`;
  throw new VggError("DOWNLOAD_FAILED", text);
}

/** Asks the wheel's server for its size, which an index in HTML does not have. @throws {RangeRefused} */
async function sizeOf(url: URL, options: Options): Promise<number> {
  const { timeoutMs, signal, connection } = options;
  const client = await openClient(timeoutMs, signal, connection);
  try {
    return await retrying(
      url,
      options,
      () => 0,
      async () => {
        const headers = bare({
          ...{ "accept-encoding": "identity", "user-agent": "vgg-cudnn" },
          range: "bytes=0-0",
        });
        const response = await client.get(url, headers);
        try {
          if (![200, 206].includes(response.status)) throw refusal(response, url);
          const total = parseContentRange(response.header("content-range"))?.total;
          if (response.status === 200 || total === undefined) throw new RangeRefused();
          return total;
        } finally {
          response.discard();
        }
      },
    );
  } finally {
    await client.close();
  }
}

/** Says why a wheel could not be read if its server sends whole files only. */
function withReason(error: unknown, { file }: Link): unknown {
  if (!(error instanceof RangeRefused)) return error;
  const problem = `Expected ${file} to be served in parts, which --latest needs, but the server sends whole files only`;
  return new VggError("DOWNLOAD_FAILED", `${problem}; install the tested set, without --latest`);
}

const maxRecordBytes = 2 ** 20;

/** Reads the wheel's list of its files: the SHA-256 of each, in hexadecimal digits. */
async function readRecord(
  source: RemoteWheel,
  entry: ZipEntry,
  end: number,
): Promise<Map<string, string>> {
  if (entry.bytes > maxRecordBytes || entry.storedBytes > maxRecordBytes)
    throw source.tooLarge(`Expected a RECORD of at most ${maxRecordBytes} bytes`);
  const header = await source.read(entry.localOffset, localHeaderBytes(entry));
  const data = checkLocalHeader(source, entry, header, end);
  const stored = await source.read(data, entry.storedBytes);
  let text: string;
  try {
    const options = bare({ maxOutputLength: maxRecordBytes });
    text = new TextDecoder().decode(entry.method === 0 ? stored : inflateRawSync(stored, options));
  } catch (error) {
    throw otherWheel(source.name, "Expected a RECORD that can be inflated", error);
  }
  const hashes = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const match = /^(.+),sha256=([A-Za-z0-9_-]{43})=?,\d*$/.exec(line);
    if (match !== null) hashes.set(match[1]!, Buffer.from(match[2]!, "base64url").toString("hex"));
  }
  return hashes;
}

/** Reads which of a wheel's files a set takes, by ranges. @throws {RangeRefused} the server sends whole files only */
async function describeWheel(
  index: PackageIndex,
  name: string,
  { link, version }: Candidate,
  takes: (path: string) => boolean,
  options: Options,
): Promise<Wheel> {
  const { file, sha256 } = link;
  if (sha256 === undefined) {
    const problem = `Expected the index to have a SHA-256 of ${file} but it has none`;
    throw new VggError("DOWNLOAD_FAILED", problem);
  }
  const url = index.withLogin(link.url);
  const size = link.size ?? (await sizeOf(url, options));
  const wheel = { name, version, file, sha256, size };
  const source = new RemoteWheel(url, { ...wheel, members: [] }, options);
  const { entries, offset } = await readWheelDirectory(source);
  const record = entries.find((entry) => /^[^/]+\.dist-info\/RECORD$/.test(entry.name));
  if (record === undefined) throw source.corrupt("Expected a RECORD in it but found none");
  const ends = entries
    .map(({ localOffset }) => localOffset)
    .filter((at) => at > record.localOffset);
  const hashes = await readRecord(source, record, Math.min(offset, ...ends));
  const members = entries
    .filter((entry) => takes(entry.name) && !entry.name.endsWith("/"))
    .map((entry): WheelMember => {
      const hash = hashes.get(entry.name);
      if (hash === undefined) throw source.corrupt(`Expected ${entry.name} in its RECORD`);
      const to = nameOnDisk(name, entry.name);
      return { path: entry.name, sha256: hash, size: entry.bytes, to };
    });
  return { ...wheel, members };
}

/** Checks that nothing is missing without which no GPU works. @throws {VggError} UNSUPPORTED */
function checkComplete(set: LibrarySet): void {
  const names = set.wheels.flatMap(({ members }) => members.map(({ to }) => to));
  const wanted = [
    ...([
      /cudnn(64_9|\.so)/,
      /cudnn_graph/,
      /cublasLt/,
      /nvrtc(64|\.so)/,
      /nvrtc-builtins/,
    ] as const),
  ];
  if (wanted.every((pattern) => names.some((name) => pattern.test(name)))) return;
  throw new VggError(
    "UNSUPPORTED",
    `Expected cuDNN, cuBLASLt and NVRTC in ${set.wheels.map(({ file }) => file).join(", ")} but they are laid out in another way; install the tested set, without --latest`,
  );
}

/**
 * Returns the set of the newest versions in an index, by PEP 440's order: neither pre-releases nor withdrawn files.
 * @throws {VggError} DOWNLOAD_FAILED, HASH_MISMATCH, OFFLINE; UNSUPPORTED: the wheels lack a library
 */
export async function latestSet(cuda: CudaMajor, request: SetRequest = {}): Promise<LibrarySet> {
  const { index, platform = thisPlatform(), signal, takes = isTaken } = request;
  const { packages = usualPackages[cuda] } = request;
  if (isOffline()) {
    const problem = "Expected a package index for --latest but VGG_OFFLINE forbids the network";
    throw new VggError("OFFLINE", problem);
  }
  const resolved = await resolveIndex({ index });
  const options: Options = {
    timeoutMs: resolved.timeoutMs ?? 30_000,
    retries: 4,
    retryDelayMs: 500,
    signal: signal ?? new AbortController().signal,
    connection: resolved.connection,
    onProgress: () => {},
  };
  const wheels: Wheel[] = [];
  for (const each of packages) {
    const candidate = await findNewest(resolved, each, request, options);
    wheels.push(
      await describeWheel(resolved, each[0], candidate, takes, options).catch((error) => {
        throw withReason(error, candidate.link);
      }),
    );
  }
  // The versions of all packages, because any of them may change alone. A set's name has numbers only: 9.1.post2 is 9.1.2.
  const numbers = wheels.map(({ version }) => version.match(/\d+/g)!.join("."));
  const name = `cu${cuda}-${numbers.join("-")}`;
  const set: LibrarySet = { name, cuda, platform, isTested: false, wheels };
  if (takes === isTaken) checkComplete(set);
  return set;
}
