// Where the time goes: the times of each layer from `vgg bench --layers` at batch 1.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const cli = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

/** @returns a row for each step of the network, in order, or null if the command is not available */
export function layerTimes() {
  const args = [cli, "bench", "--device", "cpu", "--batch", "1", "--layers", "--json"];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) {
    console.log(`Times of layers are absent: ${stderr.trim().split("\n")[0]}`);
    return null;
  }
  return JSON.parse(stdout).batches[0].layers.map(
    ({ name, kind, medianMs, multiplyAdds, products, bytes, floorMs, bound, share }) => ({
      ...{ name, kind, medianMs, multiplyAdds, products, bytes, floorMs, bound, share },
    }),
  );
}
