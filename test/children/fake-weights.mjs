// test/library/hub-processes.test.ts loads this before the command line. Replaces the published entry with that in VGG_TEST_WEIGHTS.
import { weightsTable } from "../../dist/vgg/known-weights.js";

const weights = JSON.parse(process.env.VGG_TEST_WEIGHTS);
weightsTable[weights.arch] = weights;
