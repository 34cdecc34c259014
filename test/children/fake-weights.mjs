// Loaded before the command line by test/library/hub.test.ts: puts the entry of VGG_TEST_WEIGHTS over the published one.
import { weightsTable } from "../../dist/vgg/known-weights.js";

const weights = JSON.parse(process.env.VGG_TEST_WEIGHTS);
weightsTable[weights.arch] = weights;
