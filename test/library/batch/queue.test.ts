// The order of the queue: against a model that sorts everything anew, and what each client gets.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Queue, type Waiting } from "../../../lib/batch/queue.ts";

interface Item extends Waiting {
  readonly id: number;
}

let ids = 0;
const item = (given: Partial<Waiting> = {}): Item => ({
  ...{ kind: "a", images: 1, priority: 5, client: "" },
  ...given,
  id: ids++,
});

/** The same queue by its definition: a list that is sorted at each look. */
class Model {
  all: { item: Item; start: number }[] = [];
  now = new Map<number, number>();
  ends = new Map<string, number>();

  key = ({ priority, client }: Item) => `${priority} ${client}`;

  add(added: Item): void {
    const start = Math.max(this.now.get(added.priority) ?? 0, this.ends.get(this.key(added)) ?? 0);
    this.ends.set(this.key(added), start + added.images);
    this.all.push({ item: added, start });
  }

  sorted(kind?: string) {
    return this.all
      .filter((each) => kind === undefined || each.item.kind === kind)
      .sort(
        (a, b) => a.item.priority - b.item.priority || a.start - b.start || a.item.id - b.item.id,
      );
  }

  remove(removed: Item): boolean {
    if (!this.drop([removed])) return false;
    const key = this.key(removed);
    if (this.ends.has(key)) this.ends.set(key, this.ends.get(key)! - removed.images);
    return true;
  }

  take(kind: string, count: number): Item[] {
    const taken = this.sorted(kind).slice(0, count);
    for (const priority of new Set(taken.map((each) => each.item.priority))) {
      const own = taken.filter((each) => each.item.priority === priority);
      const waiting = this.all.filter((each) => each.item.priority === priority);
      const clients = new Set(waiting.map((each) => each.item.client)).size;
      const images = own.reduce((sum, each) => sum + each.item.images, 0);
      const begin = Math.max(this.now.get(priority) ?? 0, own[0]!.start);
      this.now.set(priority, begin + images / clients);
    }
    this.drop(taken.map((each) => each.item));
    return taken.map((each) => each.item);
  }

  /** A priority without items begins anew. */
  drop(dropped: readonly Item[]): boolean {
    const before = this.all.length;
    this.all = this.all.filter((each) => !dropped.includes(each.item));
    for (const { priority } of dropped) {
      if (this.all.some((each) => each.item.priority === priority)) continue;
      this.now.delete(priority);
      for (const key of this.ends.keys()) if (key.startsWith(`${priority} `)) this.ends.delete(key);
    }
    return this.all.length < before;
  }
}

const call = fc.oneof(
  fc.record({
    kind: fc.constantFrom("a", "b", "c"),
    images: fc.integer({ min: 1, max: 9 }),
    priority: fc.integer({ min: 1, max: 3 }),
    client: fc.constantFrom("", "x", "y"),
  }),
  fc.record({ remove: fc.nat(1000) }),
  fc.record({ take: fc.integer({ min: 1, max: 4 }) }),
);

describe("Queue", () => {
  it("does what its definition does, for any sequence of calls", () => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: 60 }), (calls) => {
        const queue = new Queue<Item>();
        const model = new Model();
        const added: Item[] = [];
        for (const each of calls) {
          if ("remove" in each) {
            const { [each.remove % Math.max(added.length, 1)]: removed = item() } = added;
            expect(queue.remove(removed)).toBe(model.remove(removed));
          } else if ("take" in each) {
            const first = queue.first();
            if (first === undefined) continue;
            expect(queue.take(first.kind, each.take)).toEqual(model.take(first.kind, each.take));
          } else {
            const next = item(each);
            added.push(next);
            queue.add(next);
            model.add(next);
          }
          expect(queue.size).toBe(model.all.length);
          expect(queue.first()).toBe(model.sorted()[0]?.item);
          for (const kind of ["a", "b", "c"]) {
            const expected = model.sorted(kind).map((waiting) => waiting.item);
            expect([...queue.of(kind)]).toEqual(expected);
            expect(queue.imagesOf(kind)).toBe(
              expected.reduce((sum, { images }) => sum + images, 0),
            );
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it("serves a client's items of one priority as they came", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 30 }), (sizes) => {
        const queue = new Queue<Item>();
        const items = sizes.map((images) => item({ images }));
        for (const each of items) queue.add(each);
        expect([...queue.of("a")]).toEqual(items);
      }),
    );
  });

  it("serves the first priority first, and fills a run with later ones", () => {
    const queue = new Queue<Item>();
    const [low, high, other] = [item({ priority: 9 }), item({ priority: 1 }), item({ kind: "b" })];
    for (const each of [low, other, high]) queue.add(each);
    expect(queue.first()).toBe(high);
    expect(queue.take("a", 2)).toEqual([high, low]);
    expect(queue.first()).toBe(other);
  });

  it("gives clients that wait equal numbers of images, whatever the sizes of their items", () => {
    const size = fc.integer({ min: 1, max: 64 });
    fc.assert(
      fc.property(size, size, fc.integer({ min: 1, max: 8 }), (ours, theirs, count) => {
        const queue = new Queue<Item>();
        for (let i = 0; i < 200; i++) {
          queue.add(item({ images: ours, client: "ours" }));
          queue.add(item({ images: theirs, client: "theirs" }));
        }
        const served = { ours: 0, theirs: 0 };
        while (served.ours < 100 * ours && served.theirs < 100 * theirs) {
          for (const { client, images } of queue.take("a", count))
            served[client as "ours" | "theirs"] += images;
          const bound = (count + 1) * Math.max(ours, theirs);
          expect(Math.abs(served.ours - served.theirs)).toBeLessThanOrEqual(bound);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("serves one image after at most one of the 64-image items that another client has waiting", () => {
    const queue = new Queue<Item>();
    for (let i = 0; i < 50; i++) queue.add(item({ images: 64, client: "bulk" }));
    queue.take("a", 1);
    const single = item({ client: "single" });
    queue.add(single);
    expect([...queue.of("a")].indexOf(single)).toBeLessThanOrEqual(1);
  });

  it("does not let a client gain by sending each item after the last one was served", () => {
    const queue = new Queue<Item>();
    for (let i = 0; i < 500; i++) queue.add(item({ client: "patient" }));
    queue.add(item({ images: 64, client: "eager" }));
    const served = { patient: 0, eager: 0 };
    for (let i = 0; i < 300; i++) {
      const [next] = queue.take("a", 1) as [Item];
      served[next.client as "patient" | "eager"] += next.images;
      if (next.client === "eager") queue.add(item({ images: 64, client: "eager" }));
    }
    expect(served.eager).toBeLessThanOrEqual(served.patient + 64);
  });

  it("serves a client although new ones come all the time", () => {
    const queue = new Queue<Item>();
    queue.add(item({ client: "0" }));
    const second = item({ client: "0" });
    queue.add(second);
    let turns = 0;
    for (; [...queue.of("a")].includes(second); turns++) {
      queue.add(item({ client: `new ${turns}` }));
      queue.add(item({ client: `newer ${turns}` }));
      queue.take("a", 2);
    }
    expect(turns).toBeLessThan(20);
  });

  it("does not count removed items against their client", () => {
    const queue = new Queue<Item>();
    queue.add(item({ client: "patient" }));
    const gone = Array.from({ length: 100 }, () => item({ images: 64, client: "gone" }));
    for (const each of gone) queue.add(each);
    for (const each of gone) queue.remove(each);
    const next = item({ client: "gone" });
    queue.add(next);
    expect([...queue.of("a")][1]).toBe(next);
  });

  it("goes on after it has forgotten clients of whom nothing waits", () => {
    const queue = new Queue<Item>();
    queue.add(item({ client: "waits", images: 64 }));
    for (let i = 0; i < 5000; i++) {
      const next = item({ client: `${i}` });
      queue.add(next);
      queue.remove(next);
    }
    const last = item({ client: "last" });
    queue.add(last);
    expect([...queue.of("a")].map(({ client }) => client)).toEqual(["waits", "last"]);
  });
});
