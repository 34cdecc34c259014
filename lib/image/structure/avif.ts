// Counts the pixels of an AVIF's coded images. A grid or overlay may use each of them in part and many times.
import { ExcessiveWork } from "./pieces.js";

const maxBoxes = 10_000;
/** Maximum nesting, such as grids of overlays of grids. */
const maxDepth = 8;

interface Box {
  readonly type: string;
  readonly from: number;
  readonly to: number;
}

/** Yields the boxes of an ISO base media file within [from, to), up to the first that does not fit. */
function* boxes(bytes: Buffer, from: number, to: number): Generator<Box> {
  let count = 0;
  for (let at = from; at + 8 <= to; ) {
    if (++count > maxBoxes) throw new ExcessiveWork(`at most ${maxBoxes} boxes in a box`, "more");
    const size = bytes.readUInt32BE(at);
    const isLarge = size === 1;
    if (isLarge && at + 16 > to) return;
    const length = isLarge ? Number(bytes.readBigUInt64BE(at + 8)) : size === 0 ? to - at : size;
    const head = isLarge ? 16 : 8;
    if (length < head || at + length > to) return;
    const type = bytes.toString("latin1", at + 4, at + 8);
    yield { type, from: at + head, to: at + length };
    at += length;
  }
}

function find(bytes: Buffer, type: string, from: number, to: number): Box | undefined {
  for (const box of boxes(bytes, from, to)) if (box.type === type) return box;
  return undefined;
}

/** Reads the big-endian numbers of a full box, one after the other. */
class Fields {
  readonly version: number;
  readonly flags: number;
  readonly #bytes: Buffer;
  readonly #to: number;
  at: number;

  constructor(bytes: Buffer, { from, to }: Box) {
    this.#bytes = bytes;
    this.#to = to;
    this.at = from;
    const head = this.take(4);
    this.version = head >>> 24;
    this.flags = head & 0xffffff;
  }

  /** @throws {RangeError} at the end */
  take(size: 1 | 2 | 4): number {
    if (this.at + size > this.#to) throw new RangeError("The box has ended");
    const value = this.#bytes.readUIntBE(this.at, size);
    this.at += size;
    return value;
  }
}

/** Ignores the end of a truncated box, because decoders continue after it. */
function tolerate(read: () => void): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
}

/** Items by number. If a file has a property twice, decoders differ in the one that they use. */
interface Items {
  /** Candidates for the primary item, which is the image. */
  readonly primaries: number[];
  /** Whether an item consists of its parts only. */
  readonly areDerived: Map<number, boolean>;
  /** Pixels of each item. */
  readonly areas: Map<number, number>;
  /** The items that an item is derived from, and its alpha. */
  readonly parts: Map<number, number[]>;
}

function readItems(bytes: Buffer, meta: Box): Items {
  const items: Items = {
    primaries: [],
    areDerived: new Map(),
    areas: new Map(),
    parts: new Map(),
  };
  for (const box of boxes(bytes, meta.from + 4, meta.to)) {
    tolerate(() => {
      if (box.type === "pitm") {
        const fields = new Fields(bytes, box);
        items.primaries.push(fields.take(fields.version === 0 ? 2 : 4));
      } else if (box.type === "iinf") readTypes(bytes, box, items.areDerived);
      else if (box.type === "iref") readReferences(bytes, box, items.parts);
      else if (box.type === "iprp") readAreas(bytes, box, items.areas);
    });
  }
  return items;
}

function readTypes(bytes: Buffer, iinf: Box, areDerived: Map<number, boolean>): void {
  const fields = new Fields(bytes, iinf);
  fields.take(fields.version === 0 ? 2 : 4);
  for (const child of boxes(bytes, fields.at, iinf.to)) {
    tolerate(() => {
      const entry = new Fields(bytes, child);
      const id = entry.take(entry.version >= 3 ? 4 : 2);
      entry.take(2);
      const type = bytes.toString("latin1", entry.at, entry.at + 4);
      const isDerived = ["grid", "iovl", "iden"].includes(type);
      areDerived.set(id, isDerived && areDerived.get(id) !== false);
    });
  }
}

/** Reads the references. Like decoders, it finds the next reference by the number of items and ignores the box's size. */
function readReferences(bytes: Buffer, iref: Box, parts: Map<number, number[]>): void {
  const fields = new Fields(bytes, iref);
  const idSize = fields.version === 0 ? 2 : 4;
  const add = (item: number, part: number) => {
    const known = parts.get(item);
    if (known === undefined) parts.set(item, [part]);
    else known.push(part);
  };
  while (fields.at < iref.to) {
    const isLarge = fields.take(4) === 1;
    const type = bytes.toString("latin1", fields.at, fields.at + 4);
    fields.at += 4 + (isLarge ? 8 : 0) + (type === "uuid" ? 16 : 0);
    const from = fields.take(idSize);
    for (let count = fields.take(2); count > 0; --count) {
      const to = fields.take(idSize);
      if (type === "dimg") add(from, to);
      // An auxiliary image names the image that it belongs to.
      if (type === "auxl") add(to, from);
    }
  }
}

/** Reads the item properties: the sizes, and the items that have them. */
function readAreas(bytes: Buffer, iprp: Box, areas: Map<number, number>): void {
  const container = find(bytes, "ipco", iprp.from, iprp.to);
  if (container === undefined) return;
  const sizes = [...boxes(bytes, container.from, container.to)].map((property) => {
    let area: number | undefined;
    if (property.type === "ispe") {
      tolerate(() => {
        const fields = new Fields(bytes, property);
        area = fields.take(4) * fields.take(4);
      });
    }
    return area;
  });
  for (const box of boxes(bytes, iprp.from, iprp.to)) {
    if (box.type === "ipma") tolerate(() => readAssociations(bytes, box, sizes, areas));
  }
}

function readAssociations(
  bytes: Buffer,
  ipma: Box,
  sizes: readonly (number | undefined)[],
  areas: Map<number, number>,
): void {
  const fields = new Fields(bytes, ipma);
  for (let entries = fields.take(4); entries > 0; --entries) {
    const item = fields.take(fields.version === 0 ? 2 : 4);
    for (let count = fields.take(1); count > 0; --count) {
      const index = fields.flags & 1 ? fields.take(2) & 0x7fff : fields.take(1) & 0x7f;
      const area = sizes[index - 1];
      if (area !== undefined) areas.set(item, Math.max(area, areas.get(item) ?? 0));
    }
  }
}

/** Returns the pixels that are decoded for the image, with each coded item as often as it is used. 0 if there is no image. */
export function codedPixelsOf(bytes: Buffer): number {
  let most = 0;
  for (const box of boxes(bytes, 0, bytes.length))
    if (box.type === "meta") most = Math.max(most, codedPixelsIn(readItems(bytes, box)));
  return most;
}

function codedPixelsIn({ primaries, areDerived, areas, parts }: Items): number {
  const known = new Map<number, number>();
  const coded = (item: number, depth = 0): number => {
    const before = known.get(item);
    if (before !== undefined) return before;
    if (depth > maxDepth) return Number.POSITIVE_INFINITY;
    // An item that contains itself would be decoded for ever.
    known.set(item, Number.POSITIVE_INFINITY);
    const own = areDerived.get(item) ? 0 : (areas.get(item) ?? 0);
    const total = (parts.get(item) ?? []).reduce((sum, part) => sum + coded(part, depth + 1), own);
    known.set(item, total);
    return total;
  };
  return Math.max(0, ...primaries.map((item) => coded(item)));
}
