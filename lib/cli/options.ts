// The options that several commands share, and the printing of results.
import { Command, InvalidArgumentError, Option } from "commander";
import type { DeviceId } from "../device/device.js";
import { type Precision, precisions } from "../dtype.js";
import { type Architecture, architectures } from "../vgg/topology.js";
import { writeOut } from "./text.js";

export interface ModelOptions {
  arch: Architecture;
  inChannels: number;
  numClasses: number;
  hiddenFeatures: number;
  imageSize: number;
}

export interface DeviceOptions {
  device: DeviceId;
  precision: Precision;
}

export interface OutputOptions {
  json: boolean;
}

/** Parses an option's value as a whole number. The code that uses it checks its range. */
export function integer(value: string): number {
  if (!/^-?\d+$/.test(value)) throw new InvalidArgumentError("Expected a whole number.");
  return Number(value);
}

/** Parses an option's value as batch sizes: "1,8,32". */
export function batchSizes(value: string): number[] {
  const sizes = value.split(",").map(integer);
  if (sizes.some((size) => size < 1 || size > 65_536))
    throw new InvalidArgumentError("Expected sizes from 1 to 65536.");
  return [...new Set(sizes)];
}

/** Makes a command whose output has one form. */
export function plainCommand(name: string, description: string): Command {
  return new Command(name).description(description).allowExcessArguments(false).exitOverride();
}

/** Makes a command with the option `--json`. */
export function command(name: string, description: string): Command {
  return plainCommand(name, description).option("--json", "print JSON for machines", false);
}

/** Adds the options of a run over images. */
export function withQuiet(of: Command): Command {
  return of
    .option("-q, --quiet", "print results and errors, but no progress and no last line")
    .option("-v, --verbose", "print each skipped file and why it is skipped");
}

/** Refuses a call without this option. Commander's own check runs before its check for unknown options and would hide a mistyped name. */
export function withRequired(of: Command, flags: string, hint = ""): Command {
  const option = of.options.find((each) => each.flags === flags)!;
  return of.hook("preAction", () => {
    if (of.getOptionValue(option.attributeName()) === undefined)
      of.error(`error: required option '${flags}' not specified${hint}`);
  });
}

export function withModel(of: Command): Command {
  return of
    .addOption(new Option("--arch <name>", "network").choices(architectures).default("vgg11"))
    .option("--in-channels <count>", "channels of the image", integer, 3)
    .option("--num-classes <count>", "outputs of the last layer", integer, 1000)
    .option("--hidden-features <count>", "outputs of each hidden linear layer", integer, 4096)
    .option("--image-size <pixels>", "height and width of the image, at least 32", integer, 224);
}

export function withDevice(of: Command): Command {
  return of
    .option("--device <id>", "auto, cpu, cuda or cuda:N", "auto")
    .addOption(
      new Option("--precision <name>", "arithmetic").choices(precisions).default("float32"),
    );
}

/** Prints the result as JSON with `--json`, otherwise the lines of `text`. */
export function print(options: OutputOptions, result: unknown, text: () => string): void {
  writeOut(`${options.json ? JSON.stringify(result) : text()}\n`);
}
