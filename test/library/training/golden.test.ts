// The reference's training steps against PyTorch's in float64 (test/golden/training): losses, gradients, parameters, statistics.
// VGG_SLOW=1 runs all five files and five steps: minutes, and 6 GB of memory.
import { expect, it } from "vitest";
import type { ParameterInfo } from "../../../lib/index.ts";
import { parameterTable } from "../../../lib/vgg/parameters.ts";
import { topology } from "../../../lib/vgg/topology.ts";
import type { Numbers } from "../../reference.ts";
import { adamw, clipFactor, gradientNorm, type Moments, sgd } from "../../reference-optimizers.ts";
import {
  type Golden,
  goldenFill,
  goldenImages,
  goldenParameter,
  readGolden,
  type Probe as WholeProbe,
} from "../../support/golden.ts";
import { trainingStep } from "../../support/training-step.ts";

type Probe = Pick<WholeProbe, "l2" | "max" | "at" | "values">;
type Sizes = Pick<Golden, "arch" | "inChannels" | "numClasses" | "batch" | "imageSize" | "seed">;

interface TrainingGolden extends Sizes {
  readonly optimizer: { readonly kind: string; readonly lr: number };
  readonly dropout: number;
  readonly labelSmoothing?: number;
  readonly classWeights?: readonly number[];
  readonly clipNorm?: number;
  readonly freeze?: string;
  readonly labels: readonly (readonly number[])[];
  readonly losses: readonly number[];
  readonly logits: readonly (readonly (readonly number[])[])[];
  readonly gradientNorms: readonly number[];
  readonly layerGradients: readonly (Probe & { readonly name: string })[];
  readonly after: Readonly<
    Record<
      string,
      {
        readonly tensors: readonly {
          readonly name: string;
          readonly gradient: Probe;
          readonly parameter: Probe;
          readonly state: Readonly<Record<string, Probe>>;
        }[];
        readonly statistics: readonly (Probe & { readonly name: string })[];
      }
    >
  >;
}

const isSlow = process.env.VGG_SLOW === "1";
const files = [
  "vgg11-in1-dropout-sgd",
  ...(isSlow
    ? [
        "vgg11-sgd",
        "vgg11_bn-nesterov-smoothing",
        "vgg11-adamw-weights-dropout-clip",
        "vgg11_bn-frozen-features-adamw",
      ]
    : []),
];
if (!isSlow) console.log("one of five files of training steps; VGG_SLOW=1 runs all");

const wide = ({ shape, data }: { shape: readonly number[]; data: ArrayLike<number> }): Numbers => ({
  shape,
  data: Float64Array.from(data),
});

/** The difference of PyTorch's order of sums and this one, relative to the tensor's largest element. */
const tolerance = 1e-9;

function expectProbe({ data }: Numbers, probe: Probe, scale: number, what: string): void {
  for (const [i, at] of probe.at.entries())
    expect(Math.abs(data[at]! - probe.values[i]!), `${what}[${at}]`).toBeLessThanOrEqual(
      tolerance * scale,
    );
  let squares = 0;
  for (const value of data) squares += value * value;
  expect(Math.abs(Math.sqrt(squares) - probe.l2), `${what} l2`).toBeLessThanOrEqual(
    tolerance * Math.max(probe.l2, scale),
  );
}

it.each(files)(
  "%s agrees with PyTorch",
  (file) => {
    const golden = readGolden<TrainingGolden>(`training/${file}.json`);
    const { seed, batch, imageSize, inChannels, numClasses, dropout, optimizer, freeze } = golden;
    const network = topology(golden.arch, { inChannels, numClasses });
    const table = parameterTable(network);
    const parameters = new Map(
      table.flatMap((entry, index) => {
        const value = goldenParameter(seed, index, entry as ParameterInfo);
        return value.dtype === "int64" ? [] : [[entry.name, wide(value as never)]];
      }),
    );
    const states = new Map<string, Numbers | Moments | undefined>();
    const names = table
      .filter(({ name, isTrainable }) => isTrainable && !(freeze && name.startsWith(freeze)))
      .map(({ name }) => name);

    for (let step = 0; step < (isSlow ? golden.losses.length : 1); step++) {
      const shape = [batch, inChannels, imageSize, imageSize];
      const images = wide(goldenImages(seed, shape, 10_000 + step) as never);
      const masks = new Map(
        (dropout === 0 ? [] : ["classifier.2", "classifier.5"]).map((name, j) => {
          const number = 30_000 + 10 * step + j;
          return [
            name,
            goldenFill(seed, number, [batch, 4096], (u) => +(u >= dropout)).data as never,
          ];
        }),
      );
      const result = trainingStep(network.modules, parameters, images, golden.labels[step]!, {
        ...{ masks, p: dropout, smoothing: golden.labelSmoothing ?? 0 },
        ...(golden.classWeights && { classWeights: golden.classWeights }),
        ...(freeze && { frozen: freeze }),
      });
      expect(result.loss / golden.losses[step]!).toBeCloseTo(1, 9);
      const norm = gradientNorm(names.map((name) => result.gradients.get(name)!));
      const factor = golden.clipNorm === undefined ? 1 : clipFactor(norm, golden.clipNorm);
      if (golden.clipNorm !== undefined)
        expect(norm / golden.gradientNorms[step]!).toBeCloseTo(1, 9);
      const largest = (probe: Probe) => Math.max(probe.max, 1e-9);
      if (step === 0)
        for (const probe of golden.layerGradients)
          expectProbe(result.layerGradients.get(probe.name)!, probe, largest(probe), probe.name);

      for (const [name, value] of result.statistics) parameters.set(name, value);
      const after = golden.after[String(step + 1)];
      for (const name of names) {
        const gradient = result.gradients.get(name)!;
        if (factor !== 1)
          for (let i = 0; i < gradient.data.length; i++) gradient.data[i]! *= factor;
        const own = { ...optimizer };
        const state = states.get(name);
        const parameter = parameters.get(name)!;
        const next =
          optimizer.kind === "sgd"
            ? sgd(parameter, gradient, state as Numbers | undefined, own)
            : adamw(parameter, gradient, state as Moments | undefined, own);
        states.set(name, next);
        const expected = after?.tensors.find((each) => each.name === name);
        if (expected === undefined) continue;
        expectProbe(gradient, expected.gradient, largest(expected.gradient), `${name} gradient`);
        expectProbe(parameter, expected.parameter, expected.parameter.max, name);
        const found: Record<string, Numbers> =
          optimizer.kind === "sgd"
            ? { momentum_buffer: next as Numbers }
            : { exp_avg: (next as Moments).first, exp_avg_sq: (next as Moments).second };
        for (const [key, probe] of Object.entries(expected.state))
          expectProbe(found[key]!, probe, largest(probe), `${name} ${key}`);
      }
      for (const probe of after?.statistics ?? [])
        expectProbe(parameters.get(probe.name)!, probe, largest(probe), probe.name);
    }
  },
  1_200_000,
);
