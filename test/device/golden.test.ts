// Whole networks at full size against PyTorch in float64, layer by layer.
import { describe, expect, it } from "vitest";
import { Tensor, Vgg } from "../../lib/index.ts";
import { relativeError } from "../support/compare.ts";
import { devices, isSlow, type TestDevice } from "../support/devices.ts";
import { goldenInput, goldenNames, readGolden, setGoldenParameters } from "../support/golden.ts";

const tolerances: Record<string, number> = {
  float32: 1e-5,
  tf32: 2e-3,
  float16: 5e-3,
  bfloat16: 3e-2,
};

/** All devices run the smallest network. The best instruction set and each GPU run the others too. Slow devices run one precision of each width. */
function coveredBy(imageSize: number): TestDevice[] {
  if (isSlow) {
    const widths = devices.filter(({ precision }) => /^float(16|32)$/.test(precision));
    return imageSize < 224 ? widths : [];
  }
  const isFast = ({ name }: TestDevice, index: number) => index === 0 || name.startsWith("cuda");
  return devices.filter((device, index) => imageSize < 224 || isFast(device, index));
}

const networks = goldenNames().filter((file) => coveredBy(readGolden(file).imageSize).length > 0);

describe.each(networks)("%s", (file) => {
  const golden = readGolden(file);
  const { arch, inChannels, numClasses, imageSize, seed, batch } = golden;

  it.each(coveredBy(imageSize))(
    "agrees with PyTorch layer by layer on $name",
    async ({ open, precision }) => {
      const device = await open();
      const tolerance = tolerances[precision]!;
      const model = await Vgg.create(arch, {
        device,
        precision,
        inChannels,
        numClasses,
        imageSize,
      });
      expect(model.parameterCount).toBe(golden.parameterCount);
      await setGoldenParameters(model, seed);
      const input = goldenInput(golden);

      const logits = await model.forward(input);
      expect(logits.shape).toEqual([batch, numClasses]);
      const error = relativeError(logits.data as Float32Array, golden.logits.flat());
      console.log(
        `${file} on ${device} in ${precision}: relative error of the logits ${error.toExponential(2)}`,
      );
      expect(error).toBeLessThanOrEqual(tolerance);

      const outputs = golden.layers.map(({ name }) => name);
      const layers = await model.forward(input, { outputs });
      for (const { name, shape, mean, l2, at, values } of golden.layers) {
        const layer = layers[name]!;
        expect(layer, name).toBeInstanceOf(Tensor);
        expect(layer.shape, name).toEqual(shape);
        const data = layer.data as Float32Array;
        // Compare sixteen scattered elements relative to the layer's typical element, then all elements by mean and norm.
        const typical = l2 / Math.sqrt(data.length);
        for (const [i, element] of at.entries()) {
          expect(Math.abs(data[element]! - values[i]!), `${name}[${element}]`).toBeLessThanOrEqual(
            tolerance * 4 * typical,
          );
        }
        const sum = data.reduce((total, x) => total + x, 0);
        const squares = data.reduce((total, x) => total + x * x, 0);
        expect(Math.abs(sum / data.length - mean), `${name} mean`).toBeLessThanOrEqual(
          tolerance * typical,
        );
        expect(Math.abs(Math.sqrt(squares) - l2) / l2, `${name} l2`).toBeLessThanOrEqual(tolerance);
      }
      // If every layer is requested, batch normalisation is a separate step. It rounds differently and gives the same answer.
      expect(
        relativeError(layers["classifier.6"]!.data as Float32Array, golden.logits.flat()),
      ).toBeLessThanOrEqual(tolerance);

      if (precision === "bfloat16") return await model.dispose();
      for (const [row, indices] of golden.top5.indices.entries()) {
        const scores = [
          ...(logits.data as Float32Array).subarray(row * numClasses, (row + 1) * numClasses),
        ];
        const best = scores
          .map((score, index) => ({ score, index }))
          .sort((a, b) => b.score - a.score);
        expect(best.slice(0, 5).map(({ index }) => index)).toEqual(indices);
      }
      await model.dispose();
    },
    600_000,
  );
});
