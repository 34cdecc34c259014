// A child process on the fake GPU of test/fake-cuda: what it was asked for, its control block, and the small network.
import * as library from "../../../dist/index.js";
import { makeNetwork, openControl } from "../network.mjs";

export { caught, shape } from "../network.mjs";

export const [mode, ...args] = process.argv.slice(2);
export const { file, control, counts } = openControl(process.env.FAKE_CUDA_CONTROL);
export const network = (device, options) => makeNetwork(library, device, options);
