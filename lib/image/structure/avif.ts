// The items of an AVIF: how many pixels its coded images have, which a grid or overlay may use in part and many times.
import { ExcessiveWork } from "./pieces.js";

const maxBoxes = 10_000;
/** Grids of overlays of grids. */
const maxDepth = 8;

interface Box {
  readonly type: string;
  readonly from: number;
  readonly to: number;
}

/** Boxes of an ISO base media file within [from, to), up to the first that does not fit. */
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

/** Big-endian numbers of a full box, one after the other. */
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

  take(size: 1 | 2 | 4): number {
    // Nonsense beyond the end is the decoder's to judge.
    if (this.at + size > this.#to) throw new RangeError("The box has ended");
    const value = this.#bytes.readUIntBE(this.at, size);
    this.at += size;
    return value;
  }
}

/** Items by number: what they are, their pixels, what they are derived from and their alpha. */
interface Items {
  readonly types: Map<number, string>;
  readonly areas: Map<number, number>;
  readonly parts: Map<number, number[]>;
}

function readItems(bytes: Buffer, meta: Box): Items & { primary: number } {
  const items: Items = { types: new Map(), areas: new Map(), parts: new Map() };
  let primary = 0;
  for (const box of boxes(bytes, meta.from + 4, meta.to)) {
    const readChildren = (from: number, read: (child: Box) => void) => {
      for (const child of boxes(bytes, from, box.to)) read(child);
    };
    if (box.type === "iprp") readAreas(bytes, box, items.areas);
    if (!["pitm", "iinf", "iref"].includes(box.type)) continue;
    const fields = new Fields(bytes, box);
    const idSize = fields.version === 0 ? 2 : 4;
    if (box.type === "pitm") primary = fields.take(idSize);
    else if (box.type === "iinf") {
      fields.take(idSize);
      readChildren(fields.at, (child) => {
        const entry = new Fields(bytes, child);
        const id = entry.take(entry.version >= 3 ? 4 : 2);
        entry.take(2);
        items.types.set(id, bytes.toString("latin1", entry.at, entry.at + 4));
      });
    } else {
      readChildren(fields.at, (child) => {
        if (child.type !== "dimg" && child.type !== "auxl") return;
        const sizeOf = { ...child, from: child.from - 4 };
        const reference = new Fields(bytes, sizeOf);
        const from = reference.take(idSize);
        const to = Array.from({ length: reference.take(2) }, () => reference.take(idSize));
        const add = (item: number, part: number) => {
          const known = items.parts.get(item);
          if (known === undefined) items.parts.set(item, [part]);
          else known.push(part);
        };
        // An auxiliary image names the one that it belongs to.
        for (const item of to) child.type === "auxl" ? add(item, from) : add(from, item);
      });
    }
  }
  return { ...items, primary };
}

/** Item properties: the sizes, and which items they belong to. */
function readAreas(bytes: Buffer, iprp: Box, areas: Map<number, number>): void {
  const container = find(bytes, "ipco", iprp.from, iprp.to);
  if (container === undefined) return;
  const sizes = [...boxes(bytes, container.from, container.to)].map((property) => {
    if (property.type !== "ispe") return undefined;
    const fields = new Fields(bytes, property);
    return fields.take(4) * fields.take(4);
  });
  for (const box of boxes(bytes, iprp.from, iprp.to)) {
    if (box.type !== "ipma") continue;
    const fields = new Fields(bytes, box);
    for (let entries = fields.take(4); entries > 0; --entries) {
      const item = fields.take(fields.version === 0 ? 2 : 4);
      for (let count = fields.take(1); count > 0; --count) {
        const index = fields.flags & 1 ? fields.take(2) & 0x7fff : fields.take(1) & 0x7f;
        const area = sizes[index - 1];
        if (area !== undefined) areas.set(item, Math.max(area, areas.get(item) ?? 0));
      }
    }
  }
}

/** Pixels that are decoded for the image: each coded item as often as it is used. 0 where the structure is no sense. */
export function codedPixelsOf(bytes: Buffer): number {
  const meta = find(bytes, "meta", 0, bytes.length);
  if (meta === undefined) return 0;
  let items: ReturnType<typeof readItems>;
  try {
    items = readItems(bytes, meta);
  } catch (error) {
    if (error instanceof RangeError) return 0;
    throw error;
  }
  const known = new Map<number, number>();
  const coded = (item: number, depth = 0): number => {
    const before = known.get(item);
    if (before !== undefined) return before;
    if (depth > maxDepth) return Number.POSITIVE_INFINITY;
    // An item that is made of itself would be decoded for ever.
    known.set(item, Number.POSITIVE_INFINITY);
    const isDerived = ["grid", "iovl", "iden"].includes(items.types.get(item) ?? "");
    const own = isDerived ? 0 : (items.areas.get(item) ?? 0);
    const total = (items.parts.get(item) ?? []).reduce(
      (sum, part) => sum + coded(part, depth + 1),
      own,
    );
    known.set(item, total);
    return total;
  };
  return coded(items.primary);
}
