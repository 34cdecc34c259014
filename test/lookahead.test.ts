// Batches of an iterator's images: how large they are, and what ends them at once.
import { expect, it } from "vitest";
import { Lookahead } from "../lib/vgg/lookahead.ts";
import { failure } from "./images.ts";

const never = new Promise<never>(() => {});
const turn = () => new Promise(setImmediate);
const pixels = Uint8Array.of(1);
/** As an image is: some turns of the event loop. */
const decode = async () => {
  await turn();
  await turn();
  return pixels;
};
const sizes = async (ahead: Lookahead<number>) => {
  const batches: number[][] = [];
  for (;;) {
    const batch = await ahead.take();
    if (batch.length === 0) return batches;
    batches.push(batch.map(({ source }) => source));
  }
};
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

it("fills its batches from a fast iterator, of either kind", async () => {
  const expected = [[0, 1, 2, 3], [4, 5, 6, 7], [8]];
  const plain = new Lookahead(numbers(9).values(), 4, decode, undefined);
  expect(await sizes(plain)).toEqual(expected);
  async function* fast() {
    yield* numbers(9);
  }
  expect(await sizes(new Lookahead(fast(), 4, decode, undefined))).toEqual(expected);
});

it("asks for no more than a batch before it is taken", async () => {
  let asked = 0;
  function* endless() {
    for (;;) yield asked++;
  }
  const ahead = new Lookahead(endless(), 4, decode, undefined);
  for (let i = 0; i < 20; ++i) await turn();
  expect(asked).toBe(4);
  expect((await ahead.take()).length).toBe(4);
  for (let i = 0; i < 20; ++i) await turn();
  expect(asked).toBe(8);
  await ahead.close();
});

it("gives what there is when the iterator lets it wait", async () => {
  let goOn = () => {};
  async function* slow() {
    yield* [0, 1, 2];
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    yield 3;
  }
  const ahead = new Lookahead(slow(), 8, decode, undefined);
  expect((await ahead.take()).map(({ source }) => source)).toEqual([0, 1, 2]);
  goOn();
  expect((await ahead.take()).map(({ source }) => source)).toEqual([3]);
  expect(await ahead.take()).toEqual([]);
});

it("gives each image's failure in its place, and the iterator's after the images before it", async () => {
  async function* failing() {
    yield* [0, 1, 2];
    throw new Error("no more");
  }
  const some = (source: number) =>
    source === 1 ? Promise.reject(new Error("no image")) : decode();
  const ahead = new Lookahead(failing(), 8, some, undefined);
  const batch = await ahead.take();
  expect(batch.map(({ pixels }) => pixels.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect((await failure(ahead.take())).message).toBe("no more");
  await ahead.close();
});

it("rejects at once when the signal fires while the iterator owes an answer", async () => {
  const calls: string[] = [];
  const hanging = {
    next: () => never,
    return: () => {
      calls.push("return");
      return never;
    },
  };
  const controller = new AbortController();
  const ahead = new Lookahead<number>(hanging, 8, decode, controller.signal);
  const reason = new Error("enough");
  const taken = failure(ahead.take());
  controller.abort(reason);
  expect(await taken).toBe(reason);
  await ahead.close();
  expect(calls).toEqual(["return"]);
});

it("closes without what the iterator owes, whatever becomes of it, and stops decoding", async () => {
  const stopped: AbortSignal[] = [];
  let fail = (_: Error) => {};
  const answers = [{ value: 0, done: false as const }];
  const iterator = {
    next: () => {
      const value = answers.shift();
      if (value !== undefined) return Promise.resolve(value);
      return new Promise<never>((_, reject) => {
        fail = reject;
      });
    },
    return: () => Promise.reject(new Error("from return")),
  };
  const ahead = new Lookahead(
    iterator,
    8,
    (_, signal) => {
      stopped.push(signal);
      return never;
    },
    undefined,
  );
  await turn();
  await ahead.close();
  expect(stopped.map(({ aborted }) => aborted)).toEqual([true]);
  fail(new Error("too late"));
  // vitest fails a test file that leaves a rejection unhandled.
  await turn();
});

it("waits for the end of an iterator at rest, as for…of does, and passes its error on", async () => {
  const events: string[] = [];
  async function* images() {
    try {
      for (;;) yield 0;
    } finally {
      await turn();
      events.push("closed");
    }
  }
  const ahead = new Lookahead(images(), 2, decode, undefined);
  await ahead.take();
  for (let i = 0; i < 5; ++i) await turn();
  await ahead.close();
  expect(events).toEqual(["closed"]);

  const throwing = {
    next: () => ({ value: 0, done: false as const }),
    return: () => {
      throw new Error("from return");
    },
  };
  const other = new Lookahead(throwing, 2, decode, undefined);
  await other.take();
  for (let i = 0; i < 5; ++i) await turn();
  expect((await failure(other.close())).message).toBe("from return");
});
