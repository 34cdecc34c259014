// A child: every kernel compiled by the addon for the architectures in its argument; what the compiler said, as JSON.
import { native } from "../../dist/native/load.js";

const compiled = {};
for (const architecture of JSON.parse(process.argv[2]))
  compiled[architecture] = await native().planKernels(architecture, "");
process.stdout.write(JSON.stringify(compiled));
