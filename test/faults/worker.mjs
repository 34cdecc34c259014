// The worker of test/faults/life.mjs: loads the addon again, computes, posts the answer and leaves runs under way.
import { parentPort } from "node:worker_threads";

try {
  const { Graph, GraphBuilder, openDevice, Tensor, VggError } = await import("../../dist/index.js");
  try {
    const device = await openDevice("cpu", { threads: 2 });
    const g = new GraphBuilder();
    const x = g.input("x", [3, 16, 16]);
    const y = g.conv2d(x, g.parameter("w", [8, 3, 3, 3]), { padding: 1 });
    const graph = Graph.compile(device, g.finish({ y }));
    await graph.parameters.fillNormal("w", 1, 2);
    const input = { x: Tensor.randn([1, 3, 16, 16], 3) };
    const { y: first } = await graph.run(input);
    for (let i = 0; i < 4; i++) graph.run(input).catch(() => {});
    parentPort.postMessage({ answer: Array.from(first.data.subarray(0, 100)) });
  } catch (error) {
    const { code, message } = error;
    parentPort.postMessage({ error: { code, message, isTyped: error instanceof VggError } });
  }
} catch (error) {
  parentPort.postMessage({ error: { message: String(error) } });
}
