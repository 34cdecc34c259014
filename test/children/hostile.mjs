// test/library/options.test.ts runs this in a separate process. Prints the names in Object.prototype that change any result.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  diagnose,
  Graph,
  GraphBuilder,
  openDevice,
  readCheckpoint,
  Tensor,
  writeSafetensors,
} from "../../dist/index.js";

const folder = mkdtempSync(join(tmpdir(), "vgg-hostile-"));

async function answers() {
  const device = await openDevice("cpu", { threads: 2 });
  const builder = new GraphBuilder();
  const image = builder.normalize(builder.input("x", [8, 8, 3], "uint8"), {
    mean: [0, 0.5, 1],
    std: [1, 2, 4],
  });
  const y = builder.maxPool2d(
    builder.conv2d(image, builder.parameter("w", [4, 3, 3, 3]), { padding: 1 }),
  );
  const graph = Graph.compile(device, builder.finish({ y }));
  await graph.parameters.fillNormal("w", 1, 7);
  const path = join(folder, "w.safetensors");
  await writeSafetensors(path, { w: await graph.parameters.get("w") });
  const w = (await readCheckpoint(path)).get("w");
  const x = new Tensor(
    [1, 8, 8, 3],
    Uint8Array.from({ length: 192 }, (_, i) => i),
  );
  const { signal } = new AbortController();
  const results = [await graph.run({ x }), await graph.run({ x }, { signal })];
  await graph.dispose();
  const refused = await graph.run({ x }).catch((error) => error.code);
  const numbers = results.map((result) => Buffer.from(result.y.data.buffer).toString("hex"));
  return [...numbers, w.data.join(), refused, diagnose().cpu.id, `${device}`].join("\n");
}

const expected = await answers();
const different = [];
for (const [name, value] of JSON.parse(process.argv[2])) {
  Object.prototype[name] = value;
  const given = await answers().catch((error) => String(error?.stack ?? error));
  delete Object.prototype[name];
  if (given !== expected) different.push(`${name}: ${given}`);
}
rmSync(folder, { recursive: true });
console.log(JSON.stringify(different));
