// One training step of a VGG by the definitions of test/reference.ts and test/reference-gradients.ts: loss, gradients, statistics.
import type { Module } from "../../lib/vgg/topology.ts";
import {
  adaptiveAvgPool2d,
  batchNorm,
  conv2d,
  gemm,
  maxPool2d,
  type Numbers,
  relu,
} from "../reference.ts";
import {
  adaptiveAvgPool2dGradient,
  batchNormGradient,
  batchStatistics,
  conv2dGradient,
  crossEntropy,
  dropout,
  gemmGradient,
  type LayerGradients,
  maxPool2dGradient,
  reluGradient,
  updateRunning,
} from "../reference-gradients.ts";

export interface StepOptions {
  /** The masks of dropout by module. A module without one keeps all. */
  readonly masks?: ReadonlyMap<string, ArrayLike<number>>;
  readonly p?: number;
  readonly smoothing?: number;
  readonly classWeights?: readonly number[];
  /** Modules whose names begin so have no gradients and use their running statistics. */
  readonly frozen?: string;
}

export interface StepResult {
  readonly loss: number;
  readonly correct: number;
  readonly logits: Numbers;
  /** By parameter. */
  readonly gradients: ReadonlyMap<string, Numbers>;
  /** By module: the gradient by its output. */
  readonly layerGradients: ReadonlyMap<string, Numbers>;
  /** The running statistics after the step, by parameter. */
  readonly statistics: ReadonlyMap<string, Numbers>;
}

interface Pass {
  readonly module: Module;
  readonly input: Numbers;
  readonly output: Numbers;
  readonly batch?: { readonly mean: Numbers; readonly variance: Numbers };
}

/** @param parameters by torchvision's names. They are not changed */
export function trainingStep(
  modules: readonly Module[],
  parameters: ReadonlyMap<string, Numbers>,
  images: Numbers,
  labels: ArrayLike<number>,
  options: StepOptions = {},
): StepResult {
  const { masks = new Map(), p = 0.5, smoothing = 0, classWeights, frozen } = options;
  const isFrozen = ({ name }: Module) => frozen !== undefined && name.startsWith(frozen);
  const of = (module: Module, leaf: string) => parameters.get(`${module.name}.${leaf}`)!;
  const statistics = new Map<string, Numbers>();

  const forward = (module: Module, input: Numbers): Omit<Pass, "module" | "input"> => {
    switch (module.kind) {
      case "conv2d": {
        const output = conv2d(input, of(module, "weight"), {
          bias: of(module, "bias"),
          padding: 1,
        });
        return { output };
      }
      case "batchNorm": {
        const running = { mean: of(module, "running_mean"), variance: of(module, "running_var") };
        const batch = isFrozen(module) ? running : batchStatistics(input);
        const own = { weight: of(module, "weight"), bias: of(module, "bias") };
        const [mean, variance] = isFrozen(module)
          ? [running.mean, running.variance]
          : [
              updateRunning(running.mean, batch.mean),
              updateRunning(running.variance, batch.variance, input.data.length / module.channels),
            ];
        statistics.set(`${module.name}.running_mean`, mean);
        statistics.set(`${module.name}.running_var`, variance);
        return { output: batchNorm(input, { ...own, ...batch }), batch };
      }
      case "relu":
        return { output: relu(input) };
      case "maxPool2d":
        return { output: maxPool2d(input) };
      case "adaptiveAvgPool2d":
        return { output: adaptiveAvgPool2d(input, [module.size, module.size]) };
      case "linear": {
        const flat = { shape: [input.shape[0]!, module.inFeatures], data: input.data };
        return { output: gemm(flat, of(module, "weight"), { bias: of(module, "bias") }) };
      }
      case "dropout": {
        const mask = masks.get(module.name);
        return { output: mask === undefined ? input : dropout(input, mask, p) };
      }
    }
  };

  const passes: Pass[] = [];
  let value = images;
  for (const module of modules) {
    const pass = { module, input: value, ...forward(module, value) };
    passes.push(pass);
    value = pass.output;
  }
  const { loss, correct, gradient } = crossEntropy(value, labels, {
    smoothing,
    ...(classWeights && { classWeights }),
  });

  const gradients = new Map<string, Numbers>();
  const layerGradients = new Map<string, Numbers>();
  const backward = ({ module, input, output, batch }: Pass, dy: Numbers): Numbers => {
    const own = ({ input: dx, weight, bias }: LayerGradients) => {
      gradients.set(`${module.name}.weight`, weight);
      gradients.set(`${module.name}.bias`, bias);
      return dx;
    };
    switch (module.kind) {
      case "conv2d":
        return own(conv2dGradient(dy, input, of(module, "weight"), { padding: 1 }));
      case "batchNorm":
        return own(batchNormGradient(dy, input, of(module, "weight"), batch!, isFrozen(module)));
      case "relu":
        return reluGradient(dy, output);
      case "maxPool2d":
        return maxPool2dGradient(dy, input);
      case "adaptiveAvgPool2d":
        return adaptiveAvgPool2dGradient(dy, input.shape);
      case "linear": {
        const flat = { shape: [input.shape[0]!, module.inFeatures], data: input.data };
        const dx = own(gemmGradient(dy, flat, of(module, "weight")));
        return { shape: input.shape, data: dx.data };
      }
      case "dropout": {
        const mask = masks.get(module.name);
        return mask === undefined ? dy : dropout(dy, mask, p);
      }
    }
  };
  let dy = gradient;
  for (const pass of passes.toReversed()) {
    // The frozen modules are the first ones.
    if (isFrozen(pass.module)) break;
    layerGradients.set(pass.module.name, dy);
    dy = backward(pass, dy);
  }
  return { loss, correct, logits: value, gradients, layerGradients, statistics };
}
