// Checkpoints of zeros as sparse files, which take no space on the disk.
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { Tensor } from "../../lib/index.ts";
import { recordForward } from "../../lib/vgg/record.ts";
import { logitsName, topology } from "../../lib/vgg/topology.ts";

type Shape = readonly [name: string, shape: readonly number[]];

/** Writes float32 tensors of zeros. @param values the elements of some tensors that are not zero */
export function writeZeros(
  path: string,
  shapes: readonly Shape[],
  values: ReadonlyMap<string, ArrayLike<number>> = new Map(),
): void {
  let end = 0;
  const entries = shapes.map(([name, shape]) => {
    const begin = end;
    end += 4 * shape.reduce((count, size) => count * size, 1);
    return [name, { dtype: "F32", shape, data_offsets: [begin, end] as const }] as const;
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const file = openSync(path, "w");
  writeSync(file, Buffer.concat([length, header]));
  ftruncateSync(file, 8 + header.length + end);
  for (const [name, { data_offsets: offsets }] of entries) {
    const given = values.get(name);
    if (given === undefined) continue;
    const bytes = Buffer.from(Float32Array.from(given).buffer);
    writeSync(file, bytes, 0, bytes.length, 8 + header.length + offsets[0]);
  }
  closeSync(file);
}

/** Writes a VGG11 for images of 32 pixels whose logits are `bias`, whatever the image shows. */
export function writeNetwork(path: string, bias: readonly number[]): void {
  const { parameters } = recordForward(
    topology("vgg11", { imageSize: 32, numClasses: bias.length, hiddenFeatures: 64 }),
    [logitsName],
  );
  writeZeros(
    path,
    parameters.map(({ name, shape }) => [name, shape]),
    new Map([["classifier.6.bias", bias]]),
  );
}

/**
 * Writes a VGG16 of two classes whose convolutions have random weights. Its linear layers are zeros.
 * @param given the elements of some other parameters
 */
export function writeTrunk(
  path: string,
  given: ReadonlyMap<string, ArrayLike<number>> = new Map(),
): void {
  const { parameters } = recordForward(topology("vgg16", { numClasses: 2, hiddenFeatures: 64 }), [
    logitsName,
  ]);
  const weights = parameters.filter(({ shape }) => shape.length === 4);
  const values = weights.map(({ name, shape }, seed) => {
    const deviation = Math.sqrt(2 / (shape[1]! * shape[2]! * shape[3]!));
    return [name, Tensor.randn(shape, seed).data.map((value) => value * deviation)] as const;
  });
  writeZeros(
    path,
    parameters.map(({ name, shape }) => [name, shape]),
    new Map<string, ArrayLike<number>>([...values, ...given]),
  );
}
