// The files of the page, by path. They are read once, on first use, from the folder that `npm run build` writes.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** A file as it is served. */
export interface PageFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: string;
  /** The entity tag, with its quotes. */
  readonly tag: string;
}

/** The same folder for the sources and for what is built from them. */
const folder = new URL("../../../dist/page/", import.meta.url);

const scripts = [
  ...["answer", "dom", "images", "input", "layers", "list", "main", "neighbours", "server"],
  ...["sparkline", "token", "traffic", "work"],
];

const paths = new Map<string, { readonly name: string; readonly type: string }>([
  ["/", { name: "index.html", type: "text/html; charset=utf-8" }],
  ["/page/style.css", { name: "style.css", type: "text/css; charset=utf-8" }],
  ["/page/icon.svg", { name: "icon.svg", type: "image/svg+xml" }],
  ...scripts.map(
    (name) =>
      [`/page/${name}.js`, { name: `${name}.js`, type: "text/javascript; charset=utf-8" }] as const,
  ),
]);

/** Every path of the page. */
export const pagePaths: readonly string[] = [...paths.keys()];

const files = new Map<string, PageFile>();

/** @throws the system's error if the package is not whole */
export function readPageFile(path: string): PageFile {
  const present = files.get(path);
  if (present !== undefined) return present;
  const { name, type } = paths.get(path)!;
  const bytes = new Uint8Array(readFileSync(new URL(name, folder)));
  const digest = createHash("sha256").update(bytes).digest("base64url").slice(0, 22);
  const file = { bytes, type, tag: `"${digest}"` };
  files.set(path, file);
  return file;
}
