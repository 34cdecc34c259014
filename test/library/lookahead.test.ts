// Batches of an iterator's images: how large they are, and what ends them at once.
import { expect, it } from "vitest";
import { iteratorOf, Lookahead } from "../../lib/vgg/images/lookahead.ts";
import { failure } from "../support/images.ts";

const never = new Promise<never>(() => {});
const turn = () => new Promise(setImmediate);
const pixels = Uint8Array.of(1);
/** Takes some turns of the event loop, as decoding an image does. */
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

it("fills its batches from a fast iterator, synchronous or asynchronous", async () => {
  const expected = [[0, 1, 2, 3], [4, 5, 6, 7], [8]];
  const plain = new Lookahead(numbers(9).values(), 4, decode, undefined);
  expect(await sizes(plain)).toEqual(expected);
  async function* fast() {
    yield* numbers(9);
  }
  expect(await sizes(new Lookahead(fast(), 4, decode, undefined))).toEqual(expected);
});

it("asks for no more than a batch before the batch is taken", async () => {
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

it("returns what has arrived if the iterator makes it wait", async () => {
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

it("returns each image's failure at its position, and the iterator's after the images before it", async () => {
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

it("rejects at once when the signal fires while the iterator's answer is pending", async () => {
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

it("closes without waiting for a pending answer, however it settles, and stops decoding", async () => {
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

it("waits for the return of an idle iterator, as for…of does, and passes its error on", async () => {
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

it.each<[string, unknown]>([
  ["null", null],
  ["a number", 7],
  ["nothing", undefined],
])("refuses an iterator that answers %s, after the images before it", async (_, answer) => {
  const answers = [{ value: 0 }, answer];
  let isTold = false;
  const iterator = {
    next: () => answers.shift(),
    return: () => {
      isTold = true;
    },
  };
  const ahead = new Lookahead(iterator as never, 8, decode, undefined);
  expect((await ahead.take()).map(({ source }) => source)).toEqual([0]);
  const error = await failure(ahead.take());
  expect(error).toBeInstanceOf(TypeError);
  expect(error.message).toBe(
    `Expected an object for an answer of the iterator's next() but received ${answer}`,
  );
  await ahead.close();
  // As in for await, an iterator that breaks the protocol is not called again.
  expect(isTold).toBe(false);
});

it.each<[string, unknown, string]>([
  ["a number", 7, "an iterable of images for images but received 7"],
  ["a string", "abc", 'an iterable of images for images but received "abc"'],
  [
    "an object whose Symbol.iterator is a number",
    { [Symbol.iterator]: 7 },
    "an iterable of images for images but received",
  ],
  [
    "an iterable whose iterator is null",
    { [Symbol.iterator]: () => null },
    "next for the iterator of images",
  ],
  [
    "an iterable whose iterator has no next",
    { [Symbol.asyncIterator]: () => ({}) },
    "next for the iterator of images",
  ],
])("refuses %s", (_, images, message) => {
  expect(() => iteratorOf(images as never)).toThrow(TypeError);
  expect(() => iteratorOf(images as never)).toThrow(message);
});

it("reads an iterator as for await does", async () => {
  // A null Symbol.asyncIterator counts as absent, `done` may be any truthy value, and `next` is read once.
  let reads = 0;
  const answers = [{ value: 4 }, { value: 5 }, { value: 6 }, { done: 1 }];
  const iterator = {
    get next() {
      reads++;
      return () => answers.shift();
    },
  };
  const images = { [Symbol.asyncIterator]: null, [Symbol.iterator]: () => iterator };
  expect(await sizes(new Lookahead(iteratorOf(images as never), 4, decode, undefined))).toEqual([
    [4, 5, 6],
  ]);
  expect(reads).toBe(2);
});

it("closes with a clear error if the iterator's return is not a function", async () => {
  const iterator = { next: () => ({ value: 0 }), return: 7 };
  const ahead = new Lookahead(iterator as never, 1, decode, undefined);
  await ahead.take();
  for (let i = 0; i < 5; ++i) await turn();
  expect((await failure(ahead.close())).message).toBe(
    "Expected a function for the iterator's return but received 7",
  );
});

it("keeps the signal's reason if the iterator's return throws", async () => {
  const controller = new AbortController();
  const iterator = {
    next: () => ({ value: 0 }),
    return: () => {
      throw new Error("from return");
    },
  };
  const ahead = new Lookahead(iterator as never, 1, decode, controller.signal);
  await ahead.take();
  controller.abort();
  await ahead.close();
});
