// What test/library/fuzz.test.ts runs in a separate process: reads each file that it is sent and says what came of it.
import { writeFileSync } from "node:fs";
import { openCheckpoint } from "../../dist/checkpoint/open.js";
import { readCheckpoint, Tensor, VggError } from "../../dist/index.js";

const [scratch] = process.argv.slice(2);
const isRefusal = (error) => error instanceof VggError && error.code.startsWith("CHECKPOINT_");

/** What `read` throws, if it is a refusal. @throws anything else */
async function refusalOf(read) {
  try {
    await read();
    return undefined;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return error.code;
  }
}

function check(tensors) {
  for (const [name, tensor] of tensors) {
    const count = tensor.shape.reduce((product, dimension) => product * dimension, 1);
    if (typeof name !== "string" || !(tensor instanceof Tensor) || tensor.data.length !== count)
      throw new Error(`Expected ${count} elements for ${name} but received ${tensor?.data.length}`);
  }
}

/** The other way to read, which `vgg convert` takes: the same bytes, piece by piece. */
async function checkChunks(path, tensors) {
  const checkpoint = await openCheckpoint(path);
  try {
    for (const [name, stored] of checkpoint.tensors) {
      const { data } = tensors.get(name);
      const expected = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
      let done = 0;
      for await (const piece of checkpoint.chunks(stored)) {
        if (Buffer.compare(piece, expected.subarray(done, done + piece.length)) !== 0)
          throw new Error(`Expected the same bytes in chunks for ${name}`);
        done += piece.length;
      }
      if (done !== expected.length) throw new Error(`Expected ${expected.length} bytes in chunks`);
    }
  } finally {
    await checkpoint.close();
  }
}

async function outcomeOf(bytes) {
  writeFileSync(scratch, bytes);
  const before = process.cpuUsage();
  let tensors;
  const code = await refusalOf(async () => {
    tensors = await readCheckpoint(scratch);
  });
  const { user, system } = process.cpuUsage(before);
  if (tensors !== undefined) {
    check(tensors);
    // Large views would only take time.
    if ([...tensors.values()].every(({ size }) => size < 2 ** 16))
      await refusalOf(() => checkChunks(scratch, tensors));
  }
  return { code, seconds: (user + system) / 1e6 };
}

let queue = Promise.resolve();
let answered = 0;
process.on("message", ({ bytes }) => {
  queue = queue.then(async () => {
    // What one file took is no concern of the next; and before memory is measured.
    if (bytes === undefined || ++answered % 64 === 0) global.gc();
    const answer =
      bytes === undefined
        ? { peakBytes: process.resourceUsage().maxRSS * 1024 }
        : await outcomeOf(bytes).catch((error) => ({ failure: String(error?.stack ?? error) }));
    process.send(answer);
  });
});
