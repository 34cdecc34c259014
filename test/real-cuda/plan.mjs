// A child process: the addon plans everything that its argument asks for. Prints the plans as JSON.
import { architectureOf, describeGpu, nameOf } from "../../dist/device/gpus.js";
import { native } from "../../dist/native/load.js";
import { recordForward } from "../../dist/vgg/record.js";
import { logitsName, topology } from "../../dist/vgg/topology.js";

const { archs, gpus, precisions, batches, limit } = JSON.parse(process.argv[2]);
const networks = archs.map((arch) => {
  const { values, rows, inputs, outputs, parameters } = recordForward(topology(arch), [logitsName]);
  const record = { values, rows, inputs: Object.values(inputs), outputs: Object.values(outputs) };
  return { arch, record, parameters };
});
const plans = [];
for (const gpu of gpus) {
  const named = {
    description: describeGpu(gpu),
    name: nameOf(gpu),
    capability: architectureOf(gpu),
  };
  for (const precision of precisions)
    for (const batch of batches)
      for (const { arch, record, parameters } of networks) {
        const options = { precision, batch, limit, cacheFolder: "" };
        for (const plan of await native().planConvolutions(named, record, parameters, options))
          plans.push({ gpu, precision, arch, ...plan });
      }
}
process.stdout.write(JSON.stringify(plans));
