// Finds the images below a folder by their content, and says what else lies there.
import { close, open, read } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { dirname, extname, join, sep } from "node:path";
import { headBytes } from "../../files/head.js";
import { describeFormat, formatOf } from "../../image/format.js";

/** A file, folder or link below a folder that is not read as an image. */
export interface LeftOut {
  readonly path: string;
  /** A short word that groups entries in a count: ".heic", "empty", "hidden folder". */
  readonly kind: string;
  /** The reason: "it is a HEIC file". */
  readonly why: string;
}

export interface Found {
  /** Paths of images. */
  readonly files: string[];
  readonly leftOut: LeftOut[];
}

interface Folder {
  readonly path: string;
  /** The path without links. */
  readonly real: string;
}

/** A file with such a name is read even if its content is of no known format, so that a broken image is an error. */
const imageExtension = /\.(jpe?g|jpe|jfif|png|webp|gif|tiff?|avif|bmp|p[bgpn]m)$/i;

/** Files that are open at once. libuv works on four of them. */
const openFiles = 16;

/** Reads the first bytes of a file. Callbacks take a third of the time of promises, which matters for 100,000 files. */
function headOf(path: string, into: Uint8Array): Promise<Uint8Array | NodeJS.ErrnoException> {
  return new Promise((resolve) => {
    open(path, (cause, file) => {
      if (cause !== null) {
        resolve(cause);
        return;
      }
      read(file, into, 0, into.byteLength, 0, (error, length) => {
        close(file, () => resolve(error ?? into.subarray(0, length)));
      });
    });
  });
}

/** Says why a file is no image, or returns undefined if it is one, or claims to be one by its name. */
function refuse(path: string, head: Uint8Array | NodeJS.ErrnoException): LeftOut | undefined {
  if (ArrayBuffer.isView(head)) {
    if (head.byteLength === 0) return { path, kind: "empty", why: "it is empty" };
    if (formatOf(head) !== null || imageExtension.test(path)) return undefined;
    const kind = extname(path).toLowerCase() || "without extension";
    return { path, kind, why: describeFormat(head) };
  }
  if (imageExtension.test(path)) return undefined;
  return { path, kind: "unreadable", why: `it cannot be read (${head.code})` };
}

/** Whether `folder` is `real` or one of the folders above it. */
export function isAbove(folder: string, real: string): boolean {
  return `${real}${sep}`.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
}

/** Does work on all items, a few at once. */
async function forAll<Item>(items: readonly Item[], work: () => (item: Item) => Promise<void>) {
  let next = 0;
  const workOn = async () => {
    const one = work();
    while (next < items.length) await one(items[next++]!);
  };
  await Promise.all(Array.from({ length: openFiles }, workOn));
}

class Walk {
  readonly leftOut: LeftOut[] = [];
  readonly #files: string[] = [];
  /** Links whose targets are not known yet. */
  #links: string[] = [];
  /** The real paths of the folders that have been read. */
  readonly #read = new Set<string>();

  #leave(path: string, kind: string, why: string): void {
    this.leftOut.push({ path, kind, why });
  }

  /** Reads a folder and the folders below it, but does not follow links. */
  async folder(root: Folder): Promise<void> {
    const rest = [root];
    for (let folder = rest.pop(); folder !== undefined; folder = rest.pop()) {
      const { path: above, real } = folder;
      if (this.#read.has(real)) continue;
      this.#read.add(real);
      const entries = await readdir(above, { withFileTypes: true }).catch(
        (cause: NodeJS.ErrnoException) => {
          this.#leave(above, "unreadable folder", `it cannot be read (${cause.code})`);
          return [];
        },
      );
      for (const entry of entries) {
        const path = join(above, entry.name);
        if (entry.name.startsWith(".")) this.#leave(path, "hidden", "its name begins with a dot");
        else if (entry.isDirectory()) rest.push({ path, real: join(real, entry.name) });
        else if (entry.isFile()) this.#files.push(path);
        else if (entry.isSymbolicLink()) this.#links.push(path);
        else this.#leave(path, "no file", "it is a pipe, a socket or a device");
      }
    }
  }

  /** Follows links, also those that they lead to. */
  async follow(): Promise<void> {
    while (this.#links.length > 0) {
      const links = this.#links;
      const folders: string[] = [];
      this.#links = [];
      await forAll(links, () => async (path) => {
        const stats = await stat(path).catch((cause: NodeJS.ErrnoException) => cause);
        if (stats instanceof Error)
          this.#leave(path, "broken link", `its target cannot be read (${stats.code})`);
        else if (stats.isDirectory()) folders.push(path);
        else if (stats.isFile()) this.#files.push(path);
        else this.#leave(path, "no file", "it is a pipe, a socket or a device");
      });
      for (const path of folders.sort()) await this.#linkToFolder(path);
    }
  }

  /** Reads a folder only once, so that links that form a loop end and no file counts twice. */
  async #linkToFolder(path: string): Promise<void> {
    try {
      const [real, place] = await Promise.all([realpath(path), realpath(dirname(path))]);
      if (isAbove(real, place))
        this.#leave(path, "looping link", `it leads to ${real}, a folder above it`);
      else if (this.#read.has(real))
        this.#leave(path, "repeated link", `it leads to ${real}, which is read already`);
      else await this.folder({ path, real });
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      this.#leave(path, "broken link", `its target cannot be read (${code})`);
    }
  }

  /** Returns the files that are images, and adds the others to `leftOut`. */
  async images(): Promise<string[]> {
    const images: string[] = [];
    await forAll(this.#files, () => {
      const head = new Uint8Array(headBytes);
      return async (path) => {
        const refused = refuse(path, await headOf(path, head));
        if (refused === undefined) images.push(path);
        else this.leftOut.push(refused);
      };
    });
    return images;
  }
}

/**
 * Finds the images below a folder by their first bytes, sorted by path. Links are followed, each folder is read once,
 * and what is hidden is not read.
 * @throws {NodeJS.ErrnoException} the folder itself cannot be found
 */
export async function imagesBelow(folder: string): Promise<Found> {
  const walk = new Walk();
  await walk.folder({ path: folder, real: await realpath(folder) });
  await walk.follow();
  const files = (await walk.images()).sort();
  return { files, leftOut: walk.leftOut.sort((a, b) => (a.path < b.path ? -1 : 1)) };
}
