// `vgg check`: proves that the addon computes, with one forward of the model.
import type { Command } from "commander";
import { Tensor } from "../tensor.js";
import { Vgg } from "../vgg/model.js";
import {
  command,
  type DeviceOptions,
  type ModelOptions,
  type OutputOptions,
  print,
  withDevice,
  withModel,
} from "./options.js";

export function checkCommand(): Command {
  return withDevice(
    withModel(command("check", "run the network once with random parameters")),
  ).action(check);
}

async function check(options: ModelOptions & DeviceOptions & OutputOptions): Promise<void> {
  const { arch, device, precision, inChannels, numClasses, hiddenFeatures, imageSize } = options;
  const sizes = { inChannels, numClasses, hiddenFeatures, imageSize };
  const model = await Vgg.create(arch, { device, precision, ...sizes });
  try {
    const logits = await model.forward(Tensor.randn([1, inChannels, imageSize, imageSize]));
    const { parameterCount } = model;
    const { info } = model.device;
    print(
      options,
      { arch, parameterCount, outputShape: logits.shape, device: info, precision: model.precision },
      () =>
        [
          `[INFO]: ${parameterCount.toLocaleString("en-US")} total parameters.`,
          `[${logits.shape.join(", ")}]`,
          `${info.name}: ${model.device}, ${model.precision}`,
        ].join("\n"),
    );
  } finally {
    await model.dispose();
  }
}
