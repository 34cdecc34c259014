// The layers of a model, as a table in torchinfo's style.
import { formatShape } from "../check.js";
import { inspectKey } from "../inspect.js";
import { elementCount } from "../tensor.js";
import { parameterTable } from "./parameters.js";
import { inputName, recordForward } from "./record.js";
import type { Topology } from "./topology.js";

/** One layer of a summary. */
export interface LayerSummary {
  /** torchvision's module name. */
  readonly name: string;
  /** The operation, such as "conv2d". */
  readonly kind: string;
  /** The shape of the output, with the batch dimension, which is 1. */
  readonly outputShape: readonly number[];
  /** The number of trainable elements. */
  readonly parameters: number;
  /** Products of convolutions and linear layers for one image. A FLOP count is twice that. */
  readonly multiplyAdds: number;
}

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(2);
const integer = (value: number) => value.toLocaleString("en-US");

/** A summary: `String(summary)`, or printing it, gives the table. Sizes are for a batch of 1 in float32. */
export class Summary {
  /** The architecture. */
  readonly arch: string;
  /** [1, inChannels, imageSize, imageSize]. */
  readonly inputShape: readonly number[];
  /** The layers in the order in which they run. */
  readonly layers: readonly LayerSummary[];
  /** The number of trainable elements. */
  readonly totalParameters: number;
  /** Products of all convolutions and linear layers for one image. A FLOP count is twice that. */
  readonly totalMultiplyAdds: number;
  /** Bytes of one image. */
  readonly inputBytes: number;
  /** The sum of all layers' outputs, as if each output were kept. */
  readonly outputBytes: number;
  /** Bytes of all trainable elements. */
  readonly parameterBytes: number;

  constructor(topology: Topology) {
    const { arch, modules } = topology;
    const counts = new Map<string, number>();
    for (const { name, shape, isTrainable } of parameterTable(topology)) {
      const module = name.slice(0, name.lastIndexOf("."));
      if (isTrainable) counts.set(module, (counts.get(module) ?? 0) + elementCount(shape));
    }
    const record = recordForward(
      topology,
      modules.map(({ name }) => name),
    );
    this.layers = modules.map((module) => {
      const { name, kind } = module;
      const shape = record.values[record.outputs[name]!]!.shape;
      const perOutput =
        module.kind === "conv2d"
          ? module.inChannels * 9
          : module.kind === "linear"
            ? module.inFeatures
            : 0;
      return {
        name,
        kind,
        outputShape: [1, ...shape],
        parameters: counts.get(name) ?? 0,
        multiplyAdds: perOutput * elementCount(shape),
      };
    });
    const sum = (of: (layer: LayerSummary) => number) =>
      this.layers.reduce((total, layer) => total + of(layer), 0);
    this.arch = arch;
    this.inputShape = [1, ...record.values[record.inputs[inputName]!]!.shape];
    this.totalParameters = sum((layer) => layer.parameters);
    this.totalMultiplyAdds = sum((layer) => layer.multiplyAdds);
    this.inputBytes = elementCount(this.inputShape) * 4;
    this.outputBytes = sum((layer) => elementCount(layer.outputShape)) * 4;
    this.parameterBytes = this.totalParameters * 4;
  }

  toString(): string {
    const rows = this.layers.map(({ name, kind, outputShape, parameters, multiplyAdds }) => [
      `${name} (${kind})`,
      formatShape(outputShape),
      parameters === 0 ? "--" : integer(parameters),
      multiplyAdds === 0 ? "--" : integer(multiplyAdds),
    ]);
    const header = ["Layer", "Output shape", "Parameters", "Multiply-adds"];
    const widths = header.map((_, column) =>
      Math.max(...[header, ...rows].map((row) => row[column]!.length)),
    );
    const line = (row: readonly string[]) =>
      row
        .map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join("  ")
        .trimEnd();
    const rule = (character: string) => character.repeat(widths.reduce((a, b) => a + b + 2, -2));
    const total = this.inputBytes + this.outputBytes + this.parameterBytes;
    return [
      rule("="),
      line(header),
      rule("="),
      ...rows.map(line),
      rule("="),
      `${this.arch}, input ${formatShape(this.inputShape)}`,
      `Total parameters: ${integer(this.totalParameters)}`,
      `Total multiply-adds: ${integer(this.totalMultiplyAdds)} (${(this.totalMultiplyAdds / 1e9).toFixed(2)} G)`,
      `Input: ${megabytes(this.inputBytes)} MB, layer outputs: ${megabytes(this.outputBytes)} MB, ` +
        `parameters: ${megabytes(this.parameterBytes)} MB`,
      `Memory in all: ${megabytes(total)} MB`,
      rule("="),
    ].join("\n");
  }

  [inspectKey](): string {
    return this.toString();
  }
}
