// Replaces the names of the library's options in a message with the flags of the command line.
import type { Command } from "commander";

/**
 * Replaces "for options.batchSize" with "for --batch-size", "for preprocess.mean" with "for --mean", and so on, if the command has such an option.
 * @param command the command that was called; without it the message stays as it is
 */
export function flagsInMessage(message: string, command: Command | undefined): string {
  return message.replace(
    / for (?:options\.)?(?:preprocess\.)?([a-zA-Z]+)(\[\d+\])?(?= but received )/,
    (whole, name: string) => {
      const option = command?.options.find((each) => each.attributeName() === name);
      return option?.long ? ` for ${option.long}` : whole;
    },
  );
}

/** Removes the advice to pass --arch from a message of a command that has no such flag, such as `vgg compare`. */
export function withoutOtherFlags(message: string, command: Command | undefined): string {
  const hasArch = command === undefined || command.options.some(({ long }) => long === "--arch");
  return hasArch ? message : message.replace(/; pass --arch \S+ or leave --arch out/, "");
}
