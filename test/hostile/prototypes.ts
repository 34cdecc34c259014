// Makes Object.prototype hostile to the package during each test: every name that the package gives an option or a record
// has a value there, and each time the package takes one it is a failure. What runs the tests sees none of it.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect } from "vitest";
import "sharp"; // before anything is hostile

const library = fileURLToPath(new URL("../../lib/", import.meta.url));

/** What the language asks of iterators and errors, besides the package's own names. */
const languageNames = ["done", "cause"];

/** Names that others take from their own objects: they cannot run while these are hostile. */
const unbearable = [
  "then", // the language, of all that an async function returns
  ...["get", "set", "value", "writable"], // the language, of every property descriptor
  "path", // Node, to tell a URL from Node's older kind
  ...["file", "buffer", "page"], // sharp, of its own options
  "error", // vitest, of what its loader answers
];

/** Code that takes options from its own objects: Node's streams, and undici in Node and beside it; sharp. */
const others = /node:internal\/(streams|deps)\/|node_modules\//;

/** Each property of an interface, a class or a literal in lib/. */
function ownNames(): string[] {
  const files = readdirSync(library, { recursive: true, encoding: "utf8" });
  const sources = files.filter((file) => file.endsWith(".ts") && !file.startsWith("cli"));
  return sources.flatMap((file) =>
    [...readFileSync(library + file, "utf8").matchAll(/^\s+(?:readonly )?([a-z]\w*)\??:/gm)].map(
      (match) => match[1]!,
    ),
  );
}

export const names = [...new Set([...ownNames(), ...languageNames])]
  .filter((name) => !unbearable.includes(name) && !(name in Object.prototype))
  .sort();

const self = fileURLToPath(import.meta.url);

/** Who asks for a property, below the part of Node that was called for it: the package, or nobody of interest. */
function asker(): string | undefined {
  const { stack = "" } = new Error("who asks");
  for (const frame of stack.split("\n").slice(1)) {
    if (frame.includes(library)) return frame.trim();
    const isBelow = /node:|<anonymous>|\(native/.test(frame) && !others.test(frame);
    if (!isBelow && !frame.includes(self)) return undefined;
  }
  return undefined;
}

let isAsking = false;
let taken: string[] = [];

function get(name: string): unknown {
  if (isAsking) return undefined;
  isAsking = true;
  try {
    const frame = asker();
    if (frame === undefined) return undefined;
    taken.push(`${name} ${frame}`);
    return 1_000_000;
  } finally {
    isAsking = false;
  }
}

/** Without a prototype: while Object.prototype is hostile, a descriptor that has one is too. */
const bare = <T extends object>(object: T): T => Object.assign(Object.create(null), object);

const descriptors: PropertyDescriptorMap = Object.create(null);
for (const name of names) {
  descriptors[name] = bare<PropertyDescriptor>({
    configurable: true,
    enumerable: true,
    get: () => get(name),
    // As if it were a value: assigning makes an own property.
    set(value) {
      const own = bare({ value, writable: true, enumerable: true, configurable: true });
      Object.defineProperty(this, name, own);
    },
  });
}

beforeEach(() => {
  taken = [];
  Object.defineProperties(Object.prototype, descriptors);
});

afterEach(() => {
  for (const name of names) Reflect.deleteProperty(Object.prototype, name);
  expect([...new Set(taken)], "taken from Object.prototype").toEqual([]);
});
