// The process in which a cold start is measured: makes a model, runs two forwards, and prints the time of each part.
const nodeMs = performance.now(); // from the start of the process
const { openDevice, Tensor, Vgg } = await import("../../index.js");
const importedMs = performance.now();
const { arch, device: id, weights, ...options } = JSON.parse(process.argv[2]!);
const device = await openDevice(id);
const openedMs = performance.now();
const model = await (weights === undefined
  ? Vgg.create(arch ?? "vgg11", { ...options, device })
  : arch === undefined
    ? Vgg.load(weights, { ...options, device })
    : Vgg.load(arch, weights, { ...options, device }));
const madeMs = performance.now();
const input = Tensor.randn([1, model.inChannels, model.imageSize, model.imageSize]); // linear layers would skip zeros
const startedMs = performance.now();
await model.forward(input);
const totalMs = performance.now();
await model.forward(input);
const secondForwardMs = performance.now() - totalMs;
const peakRssBytes = process.resourceUsage().maxRSS * 1024;
const times = {
  nodeMs,
  importMs: importedMs - nodeMs,
  openMs: openedMs - importedMs,
  modelMs: madeMs - openedMs,
  firstForwardMs: totalMs - startedMs,
  totalMs,
  secondForwardMs,
  peakRssBytes,
};
process.stdout.write(JSON.stringify(times));
await model.dispose();

export {};
