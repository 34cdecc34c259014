// test/library/fuzz.test.ts runs this in a separate process. Reads each file that it receives and answers with the outcome.
import { writeFileSync } from "node:fs";
import { openCheckpoint } from "../../dist/checkpoint/open.js";
import { readCheckpoint, Tensor, VggError } from "../../dist/index.js";

const [scratch] = process.argv.slice(2);
const isRefusal = (error) => error instanceof VggError && error.code.startsWith("CHECKPOINT_");

/** Returns the code of the refusal that `read` throws. @throws any other error */
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

/** Reads the same bytes piece by piece, as `vgg convert` does. */
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
    // Large views take time and test nothing more.
    if ([...tensors.values()].every(({ size }) => size < 2 ** 16))
      await refusalOf(() => checkChunks(scratch, tensors));
  }
  return { code, seconds: (user + system) / 1e6 };
}

let queue = Promise.resolve();
let answered = 0;
process.on("message", ({ bytes }) => {
  queue = queue.then(async () => {
    // Collects garbage so that one file's memory does not count for the next, and before memory is measured.
    if (bytes === undefined || ++answered % 64 === 0) global.gc();
    const answer =
      bytes === undefined
        ? { peakBytes: process.resourceUsage().maxRSS * 1024 }
        : await outcomeOf(bytes).catch((error) => ({ failure: String(error?.stack ?? error) }));
    process.send(answer);
  });
});
