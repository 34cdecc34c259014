// Reads the command lines of the scripts in this folder.
import { parseArgs } from "node:util";

/** Ends the process with the status of a wrong command line. */
export function refuse(message) {
  console.error(message);
  process.exit(2);
}

/**
 * Returns the options and `positionals`, the other arguments. Refuses an option that the script does not have.
 * `isQuick` (--quick) means small images and few batches, for a machine where a CPU plays the GPU.
 */
export function readArguments(options = {}) {
  try {
    const { values, positionals } = parseArgs({
      options: { quick: { type: "boolean", default: false }, ...options },
      allowPositionals: true,
    });
    const { quick: isQuick, ...rest } = values;
    return { isQuick, positionals, ...rest };
  } catch (error) {
    return refuse(error.message.split("\n", 1)[0]);
  }
}
