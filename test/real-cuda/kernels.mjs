// A child process: the addon compiles every kernel for the architectures in its argument. Prints the compiler's logs as JSON.
import { native } from "../../dist/native/load.js";

const compiled = {};
for (const architecture of JSON.parse(process.argv[2]))
  compiled[architecture] = await native().compileKernels(architecture, "");
process.stdout.write(JSON.stringify(compiled));
