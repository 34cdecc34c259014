// The images that wait for a device: by priority, then fairly by client, then by arrival.
//
// Each item gets a virtual start time when it comes: the virtual time of now, or the end of its client's last item if
// that is later. An item takes as long as it has images. Items run in the order of their starts, so clients that wait
// get the same number of images, however large their items are.

/** What the queue knows of an item. */
export interface Waiting {
  /** Items of one kind can share a run. */
  readonly kind: string;
  readonly images: number;
  /** A smaller number is served first. */
  readonly priority: number;
  /** Who waits. Clients of one priority get equal shares. */
  readonly client: string;
}

interface Client {
  /** The virtual end of its last item. */
  end: number;
  items: number;
}

/** The clients of one priority. */
interface Level {
  /** The virtual time: the images that each client was served, as if all were served at once. */
  now: number;
  items: number;
  /** The number of clients that have items. */
  waiting: number;
  readonly clients: Map<string, Client>;
}

interface Ranked<Item> {
  readonly item: Item;
  readonly start: number;
  readonly arrival: number;
}

/** Clients that are remembered although nothing of theirs waits. */
const maxIdleClients = 1024;

/** A queue of items that wait. Adding and taking cost a search and a move in an array. */
export class Queue<Item extends Waiting> {
  readonly #levels = new Map<number, Level>();
  /** By kind, in order. A kind without items is absent. */
  readonly #kinds = new Map<string, { images: number; readonly ranked: Ranked<Item>[] }>();
  readonly #ranks = new Map<Item, Ranked<Item>>();
  #arrivals = 0;

  /** The number of items. */
  get size(): number {
    return this.#ranks.size;
  }

  /** The number of images of a kind. */
  imagesOf(kind: string): number {
    return this.#kinds.get(kind)?.images ?? 0;
  }

  add(item: Item): void {
    const level = this.#levels.get(item.priority) ?? newLevel();
    this.#levels.set(item.priority, level);
    const client = level.clients.get(item.client) ?? { end: 0, items: 0 };
    level.clients.set(item.client, client);
    const start = Math.max(level.now, client.end);
    client.end = start + item.images;
    if (client.items++ === 0) level.waiting++;
    level.items++;
    const rank = { item, start, arrival: this.#arrivals++ };
    const kind = this.#kinds.get(item.kind) ?? { images: 0, ranked: [] };
    this.#kinds.set(item.kind, kind);
    kind.images += item.images;
    kind.ranked.splice(indexOf(kind.ranked, rank), 0, rank);
    this.#ranks.set(item, rank);
  }

  /** Returns the item that is first in the order. */
  first(): Item | undefined {
    let first: Ranked<Item> | undefined;
    for (const { ranked } of this.#kinds.values()) {
      const [next] = ranked as [Ranked<Item>];
      if (first === undefined || compare(next, first) < 0) first = next;
    }
    return first?.item;
  }

  /** The items of a kind in order. The queue must not change while they are read. */
  *of(kind: string): IterableIterator<Item> {
    for (const { item } of this.#kinds.get(kind)?.ranked ?? []) yield item;
  }

  /** Removes an item that will not run. @returns false if it does not wait */
  remove(item: Item): boolean {
    const rank = this.#ranks.get(item);
    if (rank === undefined) return false;
    this.#remove(item.kind, indexOf(this.#kinds.get(item.kind)!.ranked, rank), 1);
    const client = this.#levels.get(item.priority)?.clients.get(item.client);
    // What was not served does not count against the client.
    if (client !== undefined) client.end -= item.images;
    return true;
  }

  /** Removes and returns the first items of a kind, which run now. */
  take(kind: string, count: number): Item[] {
    const served = new Map<Level, { images: number; readonly clients: number }>();
    for (const { item, start } of this.#kinds.get(kind)!.ranked.slice(0, count)) {
      const level = this.#levels.get(item.priority)!;
      const share = served.get(level) ?? { images: 0, clients: level.waiting };
      share.images += item.images;
      if (!served.has(level)) level.now = Math.max(level.now, start);
      served.set(level, share);
    }
    for (const [level, { images, clients }] of served) level.now += images / clients;
    return this.#remove(kind, 0, count);
  }

  #remove(kind: string, index: number, count: number): Item[] {
    const of = this.#kinds.get(kind)!;
    const items = of.ranked.splice(index, count).map(({ item }) => item);
    for (const item of items) {
      of.images -= item.images;
      this.#ranks.delete(item);
      const level = this.#levels.get(item.priority)!;
      const client = level.clients.get(item.client)!;
      if (--client.items === 0) level.waiting--;
      level.items--;
      if (level.items === 0) this.#levels.delete(item.priority);
      else if (level.clients.size > level.items + maxIdleClients) forgetIdle(level);
    }
    if (of.ranked.length === 0) this.#kinds.delete(kind);
    return items;
  }
}

function newLevel(): Level {
  return { now: 0, items: 0, waiting: 0, clients: new Map() };
}

function forgetIdle({ clients }: Level): void {
  for (const [name, { items }] of clients) if (items === 0) clients.delete(name);
}

/** Negative if `a` is before `b`. */
function compare<Item extends Waiting>(a: Ranked<Item>, b: Ranked<Item>): number {
  return a.item.priority - b.item.priority || a.start - b.start || a.arrival - b.arrival;
}

/** Returns the index of an item in the order, or that at which it belongs. */
function indexOf<Item extends Waiting>(all: readonly Ranked<Item>[], ranked: Ranked<Item>): number {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compare(all[middle]!, ranked) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
