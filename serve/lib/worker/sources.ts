// Opens the images of jobs, as far as the operator allows it: paths in some folders, and URLs that begin as some do.
import { constants, type FileHandle, open, realpath, stat } from "node:fs/promises";
import { isAbsolute, normalize, sep } from "node:path";
import { bytesOfDataUrl } from "../http/data-url.js";
import { type JobImage, Refusal } from "./job.js";

export interface SourceLimits {
  readonly imageBytes: number;
  readonly downloadMs: number;
}

const notAllowed = (message: string) => new Refusal("IMAGE_NOT_ALLOWED", message);
const unreadable = (message: string, isTemporary = false) =>
  new Refusal("IMAGE_UNREADABLE", message, isTemporary);

/** Codes of the system that may pass. */
const temporaryCodes = ["EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "EIO", "EBUSY", "ESTALE"];

/** Redirects that are followed. */
const maxHops = 5;

/**
 * Reads images for jobs.
 * @example
 * const sources = await Sources.open(["/data/images"], [], { imageBytes: 64 << 20, downloadMs: 30_000 });
 * const bytes = await sources.read({ key: "1", path: "/data/images/1.jpg" }, signal);
 */
export class Sources {
  /** As given and as they really are, each with a separator at its end. */
  readonly #folders: readonly { readonly given: string; readonly real: string }[];
  readonly #urls: readonly URL[];
  readonly #limits: SourceLimits;

  /** @throws {TypeError} a folder that is not there, or is none */
  static async open(
    folders: readonly string[],
    urls: readonly URL[],
    limits: SourceLimits,
  ): Promise<Sources> {
    const found = folders.map(async (folder) => {
      const real = await realpath(folder).catch(({ code }: NodeJS.ErrnoException) => {
        throw new TypeError(`Expected a folder for allow.folders but ${folder} gives ${code}`);
      });
      if (!(await stat(real)).isDirectory())
        throw new TypeError(`Expected a folder for allow.folders but ${folder} is none`);
      const given = isAbsolute(folder) ? normalize(folder) : real;
      return { given: withSeparator(given), real: withSeparator(real) };
    });
    return new Sources(await Promise.all(found), urls, limits);
  }

  private constructor(
    folders: readonly { readonly given: string; readonly real: string }[],
    urls: readonly URL[],
    limits: SourceLimits,
  ) {
    this.#folders = folders;
    this.#urls = urls;
    this.#limits = limits;
  }

  /**
   * Returns the bytes of an image.
   * @throws {Refusal} IMAGE_NOT_ALLOWED, IMAGE_UNREADABLE, IMAGE_TOO_LARGE, IMAGE_FORMAT; or the reason of `signal`
   */
  async read(image: JobImage, signal: AbortSignal): Promise<Uint8Array> {
    if (image.data !== undefined) return this.#decode(image.data);
    if (image.path !== undefined) return this.#readFile(image.path);
    return this.#download(image.url!, signal);
  }

  #decode(text: string): Uint8Array {
    // Four characters of base64 hold three bytes.
    this.#checkSize(Math.floor((text.length * 3) / 4) - 256);
    const isUrl = /^data:/i.test(text.slice(0, 5));
    let bytes: Uint8Array;
    try {
      bytes = bytesOfDataUrl(isUrl ? text : `data:;base64,${text}`, "data");
    } catch (error) {
      throw new Refusal("IMAGE_FORMAT", (error as Error).message);
    }
    this.#checkSize(bytes.byteLength);
    return bytes;
  }

  #checkSize(bytes: number): void {
    const { imageBytes } = this.#limits;
    if (bytes > imageBytes)
      throw new Refusal(
        "IMAGE_TOO_LARGE",
        `Expected at most ${imageBytes} bytes but it has ${bytes} or more`,
      );
  }

  async #readFile(path: string): Promise<Uint8Array> {
    const refusal = notAllowed("Expected an absolute path in a folder that the worker may open");
    if (!isAbsolute(path) || path.includes("\0")) throw refusal;
    // A path outside is refused before the disk is asked, so that nobody learns what is there.
    const wanted = normalize(path);
    const isNear = this.#folders.some(
      ({ given, real }) => wanted.startsWith(given) || wanted.startsWith(real),
    );
    if (!isNear) throw refusal;
    let handle: FileHandle | undefined;
    try {
      const real = await realpath(wanted);
      if (!this.#isInside(real)) throw refusal;
      // O_NONBLOCK: opening a FIFO would wait for its writer. O_NOFOLLOW: the file was no link a moment ago.
      const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW = 0 } = constants;
      handle = await open(real, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
      // A folder may have become a link since: what is open decides.
      if (process.platform === "linux") {
        const opened = await realpath(`/proc/self/fd/${handle.fd}`);
        if (!this.#isInside(opened)) throw refusal;
      }
      return await this.#readHandle(handle);
    } catch (error) {
      if (error instanceof Refusal) throw error;
      const { code = "an unknown error" } = error as NodeJS.ErrnoException;
      throw unreadable(`Reading the file gives ${code}`, temporaryCodes.includes(code));
    } finally {
      await handle?.close();
    }
  }

  async #readHandle(handle: FileHandle): Promise<Uint8Array> {
    const status = await handle.stat();
    if (!status.isFile()) throw unreadable("Expected a regular file");
    this.#checkSize(status.size);
    const bytes = new Uint8Array(status.size);
    let length = 0;
    while (length < bytes.byteLength) {
      const { bytesRead } = await handle.read(bytes, length, bytes.byteLength - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return bytes.subarray(0, length);
  }

  #isInside(real: string): boolean {
    return this.#folders.some((folder) => real.startsWith(folder.real));
  }

  /** @throws {Refusal} IMAGE_NOT_ALLOWED */
  #checkUrl(text: string, base?: URL): URL {
    const refusal = notAllowed("Expected a URL that begins as the worker's settings allow");
    if (!URL.canParse(text, base?.href)) throw refusal;
    const url = new URL(text, base);
    // Some servers take an encoded slash for a slash, and then ".." for the folder above.
    if (`${url.username}${url.password}` !== "" || /%2f|%5c|\\/i.test(url.pathname)) throw refusal;
    const begins = ({ origin, pathname }: URL) =>
      url.origin === origin &&
      (pathname.endsWith("/")
        ? url.pathname.startsWith(pathname)
        : url.pathname === pathname || url.pathname.startsWith(`${pathname}/`));
    if (!this.#urls.some(begins)) throw refusal;
    return url;
  }

  async #download(text: string, signal: AbortSignal): Promise<Uint8Array> {
    let url = this.#checkUrl(text);
    const stop = new AbortController();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      stop.abort();
    }, this.#limits.downloadMs);
    const onAbort = () => stop.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      for (let hop = 0; hop <= maxHops; hop++) {
        const response = await fetch(url, { redirect: "manual", signal: stop.signal });
        const target = response.headers.get("location");
        if (response.status < 300 || response.status >= 400 || target === null)
          return await this.#body(response);
        await response.body?.cancel();
        url = this.#checkUrl(target, url);
      }
      throw unreadable(`Expected at most ${maxHops} redirects`);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Refusal) throw error;
      if (isLate)
        throw unreadable(`Expected the whole image within ${this.#limits.downloadMs} ms`, true);
      const { cause } = error as Error & { cause?: NodeJS.ErrnoException };
      throw unreadable(`The download fails: ${cause?.code ?? (error as Error).message}`, true);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      // Closes the connection if the body was not read to its end.
      stop.abort();
    }
  }

  async #body(response: Response): Promise<Uint8Array> {
    const { status, ok, headers, body } = response;
    if (!ok) {
      const isTemporary = status >= 500 || status === 408 || status === 429;
      throw unreadable(`Expected a status of 2xx but received ${status}`, isTemporary);
    }
    this.#checkSize(Number(headers.get("content-length")));
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const part of body ?? []) {
      length += part.byteLength;
      this.#checkSize(length);
      parts.push(part);
    }
    return Buffer.concat(parts);
  }
}

const withSeparator = (path: string) => (path.endsWith(sep) ? path : `${path}${sep}`);
