// `vgg convert`: converts weights from one file format to another, optionally to half precision.
import { extname } from "node:path";
import { type Command, Option } from "commander";
import { rangeError } from "../check.js";
import type { StoredTensor } from "../checkpoint/checkpoint.js";
import { convertTensor, type FloatType, floatTypes } from "../checkpoint/convert.js";
import { openCheckpoint } from "../checkpoint/open.js";
import { writePytorch } from "../checkpoint/pytorch/write.js";
import { type LazyTensor, writeTensors } from "../checkpoint/safetensors.js";
import { command, type OutputOptions, print } from "./options.js";

interface ConvertOptions extends OutputOptions {
  precision?: FloatType;
  key?: string;
}

const writers = [".safetensors", ".pth", ".pt"];

export function convertCommand(): Command {
  return command("convert", "write weights in another format; needs no addon")
    .argument("<in>", "a .pth (zip or legacy) or .safetensors file")
    .argument("<out>", "a name that ends in .safetensors, .pth or .pt")
    .addOption(
      new Option(
        "--precision <name>",
        "precision of floating-point tensors (default: unchanged)",
      ).choices(floatTypes),
    )
    .option("--key <name>", "which state dict to use if the checkpoint has several")
    .action(convert);
}

async function convert(from: string, to: string, options: ConvertOptions): Promise<void> {
  const extension = extname(to).toLowerCase();
  if (!writers.includes(extension))
    throw rangeError(`a name that ends in ${writers.join(", ")}`, "OUT", to);
  const { precision, key } = options;
  const checkpoint = await openCheckpoint(from, key === undefined ? {} : { key });
  try {
    const lazy = (stored: StoredTensor): LazyTensor => {
      const isConverted =
        precision !== undefined && ["float64", ...floatTypes].includes(stored.dtype);
      return {
        shape: stored.shape,
        dtype: isConverted ? precision : stored.dtype,
        async read() {
          const tensor = await checkpoint.read(stored);
          checkpoint.forget(stored);
          return isConverted ? convertTensor(tensor, precision) : tensor;
        },
      };
    };
    const tensors = new Map([...checkpoint.tensors].map(([name, stored]) => [name, lazy(stored)]));
    const metadata = Object.fromEntries(checkpoint.contents.metadata);
    if (extension === ".safetensors")
      await writeTensors(to, tensors, { format: "pt", ...metadata });
    else await writePytorch(to, tensors);
    await checkpoint.file.checkUnchanged();
    print(
      options,
      { in: from, out: to, tensors: tensors.size },
      () => `${to}: ${tensors.size} tensors`,
    );
  } finally {
    await checkpoint.close();
  }
}
