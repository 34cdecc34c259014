// The scenarios of test/faults/io.mjs: saving, reading, converting and downloading while file calls fail, and what must
// hold afterwards. Importing this module starts a server of one file, which `close` ends.
import { createHash } from "node:crypto";
import fs from "node:fs";
import { createServer } from "node:http";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { convertCommand } from "../../dist/cli/convert.js";
import { pull } from "../../dist/download/hub.js";
import { removeTemporaryFiles } from "../../dist/files/temporary-files.js";
import {
  preprocess,
  readCheckpoint,
  readLabels,
  Tensor,
  writeSafetensors,
} from "../../dist/index.js";
import { knownWeights } from "../../dist/vgg/known-weights.js";

const folder = process.env.VGG_IO_FAULTS;
const at = (name) => join(folder, name);

const fileOf = (name) => fileURLToPath(new URL(name, import.meta.url));

const tensors = (value) =>
  new Map([
    ["large", new Tensor([60_000], new Float32Array(60_000).fill(value))],
    ["small", new Tensor([5], new Float32Array(5).fill(value))],
  ]);
const fill = (name, value) => writeSafetensors(at(name), tensors(value));
/** The value that fills a file's tensors, or undefined if the file is torn. */
async function valueIn(name) {
  const read = await readCheckpoint(at(name));
  const [value] = read.get("small").data;
  return read.size === 2 && [...read.values()].every(({ data }) => data.every((x) => x === value))
    ? value
    : undefined;
}
export const expect = (holds, what) => {
  if (!holds) throw new Error(what);
};
const noParts = () => {
  removeTemporaryFiles(); // The end of a process removes locks that could not be removed earlier.
  const left = fs.readdirSync(folder).filter((name) => /\.part$|\.lock|\.copy/.test(name));
  expect(left.length === 0, `${left.join(", ")} stayed`);
};
const checkpoint = ["CHECKPOINT_UNREADABLE"];
const folders = ["FOLDER_UNUSABLE", "DISK_FULL"];

const pth = fileOf("../golden/checkpoints/");
const zipped = fs
  .readdirSync(pth)
  .find((name) => /zip.*\.pth$|\.pth$/.test(name) && isZip(join(pth, name)));
const legacy = fs.readdirSync(pth).find((name) => name.endsWith(".pth") && !isZip(join(pth, name)));
function isZip(path) {
  return fs.readFileSync(path).subarray(0, 2).toString() === "PK";
}
const digest = async (path) => {
  const hash = createHash("sha256");
  for (const [name, { data }] of await readCheckpoint(path))
    hash.update(name).update(new Uint8Array(data.buffer));
  return hash.digest("hex");
};
const readsAs = (name, source) => {
  let right;
  return {
    codes: checkpoint,
    async before() {
      if (fs.existsSync(at(name))) return;
      fs.copyFileSync(join(pth, source), at(name));
      right = await digest(at(name));
    },
    run: async () => expect((await digest(at(name))) === right, "other tensors were read"),
  };
};

const content = Buffer.from(
  Uint8Array.from({ length: 200_000 }, (_, i) => (i * 2_654_435_761) >>> 24),
);
const sha256 = createHash("sha256").update(content).digest("hex");
const weights = {
  ...knownWeights("vgg11"),
  file: `vgg11-${sha256.slice(0, 8)}.pth`,
  hashPrefix: sha256.slice(0, 8),
  sizeMiB: content.length / 2 ** 20,
};
const server = createServer((request, response) => {
  const start = Number(/\d+/.exec(request.headers.range ?? "0")[0]);
  const range = { "content-range": `bytes ${start}-${content.length - 1}/${content.length}` };
  response.writeHead(start > 0 ? 206 : 200, {
    etag: '"a"',
    "content-length": content.length - start,
    ...(start > 0 && range),
  });
  response.end(content.subarray(start));
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const mirror = `http://127.0.0.1:${server.address().port}/`;
async function pulls() {
  const { sha256: found } = await pull(weights, { folder, mirror, retryDelayMs: 0 });
  expect(found === sha256, "another hash was found");
}
/** Expects the complete file, or no file after an error. */
function pulled(error) {
  const isThere = fs.existsSync(at(weights.file));
  expect(
    isThere ? content.equals(fs.readFileSync(at(weights.file))) : error,
    "the file is torn or missing",
  );
}
const clean = () => {
  for (const name of fs.readdirSync(folder))
    if (name.startsWith(weights.file)) fs.rmSync(at(name), { recursive: true });
};
const lockOf = (owner, ageMs) => {
  const path = at(`${weights.file}.lock`);
  fs.writeFileSync(path, JSON.stringify(owner));
  const date = new Date(Date.now() - ageMs);
  fs.utimesSync(path, date, date);
};
const half = () => fs.writeFileSync(at(`${weights.file}.part`), content.subarray(0, 100_000));

/**
 * What each scenario does and what must hold afterwards. `before` and `after` run without faults. After a failure `run`
 * runs once more without faults.
 */
export const scenarios = {
  save: {
    codes: folders,
    before: () => fill("saved.safetensors", 1),
    run: () => fill("saved.safetensors", 2),
    async after(error) {
      const value = await valueIn("saved.safetensors");
      expect(value === 2 || (error && value === 1), "the file is torn or was not written");
    },
    end: noParts,
  },
  "save anew": {
    codes: folders,
    before: () => fs.rmSync(at("new.safetensors"), { force: true }),
    run: () => fill("new.safetensors", 3),
    async after(error) {
      const isThere = fs.existsSync(at("new.safetensors"));
      expect(
        isThere ? (await valueIn("new.safetensors")) === 3 : error,
        "the file is torn or missing",
      );
    },
    end: noParts,
  },
  "save through a link": {
    codes: folders,
    async before() {
      await fill("target.safetensors", 1);
      if (!fs.existsSync(at("link"))) fs.symlinkSync("target.safetensors", at("link"));
    },
    run: () => fill("link", 2),
    async after(error) {
      expect(fs.lstatSync(at("link")).isSymbolicLink(), "the link is no longer a link");
      const value = await valueIn("target.safetensors");
      expect(value === 2 || (error && value === 1), "the file is torn or was not written");
    },
    end: noParts,
  },
  safetensors: {
    codes: checkpoint,
    before: () => fs.existsSync(at("read.safetensors")) || fill("read.safetensors", 4),
    run: async () => expect((await valueIn("read.safetensors")) === 4, "other tensors were read"),
  },
  "zip .pth": readsAs("zipped.pth", zipped),
  "legacy .pth": readsAs("legacy.pth", legacy),
  image: {
    codes: ["IMAGE_UNREADABLE", "IMAGE_CORRUPT"],
    before: () => fs.copyFileSync(fileOf("../golden/images/small.png"), at("image.png")),
    run: async () => expect((await preprocess(at("image.png"))).data.length > 0, "no pixels"),
  },
  convert: {
    codes: [...checkpoint, ...folders],
    async before() {
      await fill("in.safetensors", 5);
      fs.rmSync(at("out.pth"), { force: true });
    },
    async run() {
      const { write } = process.stdout;
      process.stdout.write = () => true;
      try {
        await convertCommand().parseAsync(
          [at("in.safetensors"), at("out.pth"), "--precision", "float32"],
          { from: "user" },
        );
      } finally {
        process.stdout.write = write;
      }
    },
    async after(error) {
      const isThere = fs.existsSync(at("out.pth"));
      expect(isThere ? (await valueIn("out.pth")) === 5 : error, "the file is torn or missing");
    },
    end: noParts,
  },
  pull: { codes: folders, before: clean, run: pulls, after: pulled, end: noParts },
  "pull a file that is present": {
    codes: folders,
    before() {
      clean();
      fs.writeFileSync(at(weights.file), content);
    },
    run: pulls,
    after: pulled,
    end: noParts,
  },
  "continue a pull after the lock's owner died": {
    codes: folders,
    before() {
      clean();
      half();
      lockOf({ pid: 2 ** 22 + 1, host: hostname(), token: "dead" }, 0);
    },
    run: pulls,
    after: pulled,
    end: noParts,
  },
  "continue a pull after the lock's owner fell silent": {
    codes: folders,
    before() {
      clean();
      half();
      lockOf({ pid: 1, host: "another", token: "silent" }, 100_000);
    },
    run: pulls,
    after: pulled,
    end: noParts,
  },
  labels: {
    codes: folders,
    before: () => fs.writeFileSync(at("labels.txt"), "cat\ndog\n"),
    run: async () =>
      expect((await readLabels(at("labels.txt"))).join() === "cat,dog", "other labels"),
  },
};

export const close = () => server.close();
