// What needs a process of its own on the fake libraries: another environment, a device that is lost, an exit. Prints one
// JSON object.
import { once } from "node:events";
import { closeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, Worker } from "node:worker_threads";
import { DeviceTensor, diagnose, listDevices, openDevice, Tensor } from "../../../dist/index.js";
import { choices } from "./cuda-choices.mjs";
import { args, caught, control, file, mode, network, shape } from "./process.mjs";

const modes = {
  ...choices,

  async devices() {
    const device = await openDevice("auto");
    const error = await caught(openDevice("cuda"));
    return { listed: listDevices(), auto: device.info, error, diagnosis: diagnose() };
  },

  /** A sticky error in mid-forward, of a kind that the fake knows, and what "auto" is after it. */
  async lost() {
    const model = await network(await openDevice("cuda"));
    const other = await network(await openDevice("cpu"), { precision: "float32" });
    await model.forward(Tensor.randn(shape));
    control("failKind", args[0]);
    control("failAt", control("calls") + 3);
    const pending = [1, 2, 3].map(() => caught(model.forward(Tensor.randn(shape))));
    const errors = await Promise.all(pending);
    control("failAt", 0);
    const calls = control("calls");
    const later = await caught(model.forward(Tensor.randn(shape)));
    const read = await caught(model.store.get("f"));
    const callsAfter = control("calls") - calls;
    const another = await caught(openDevice("cuda").then((device) => network(device)));
    await model.dispose();
    const image = Tensor.randn(shape, 1);
    const onCpu = (await other.forward(image)).data;
    const auto = await openDevice("auto");
    const model2 = await network(auto, { precision: "float32" });
    const isSame = (await model2.forward(image)).data.every((x, i) => x === onCpu[i]);
    return { errors, later, read, another, callsAfter, auto: auto.kind, isSame };
  },

  /** What engines are still tried once the process exits, and what a listener that comes later meets. */
  async exit() {
    const model = await network(await openDevice("cuda"));
    const pending = model.forward(Tensor.randn(shape));
    pending.finally(() => console.log("settled"));
    while (control("cudnnExecutions") === 0) await sleep(1);
    let begun = 0;
    process.prependListener("exit", () => {
      begun = control("cudnnExecutions");
    });
    process.once("exit", () => {
      const executions = control("cudnnExecutions") - begun;
      const calls = control("calls");
      let code = "";
      try {
        DeviceTensor.allocate(model.device, shape);
      } catch (error) {
        code = error.code;
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
      const callsAfter = control("calls") - calls;
      console.log(JSON.stringify({ executions, code, callsAfter, misuse: control("misuseCount") }));
    });
    process.exit(7);
  },

  /** Exits in a main thread that never loaded the addon, so that a worker's model is freed then. */
  async "exit-worker"() {
    const worker = new Worker(new URL(import.meta.url), { argv: ["worker"] });
    await once(worker, "message");
    process.exit(7);
  },

  async worker() {
    const model = await network(await openDevice("cuda", { deterministic: true }));
    await model.forward(Tensor.randn(shape));
    parentPort.postMessage("ready");
    await sleep(1e6, model);
  },
};

const result = await modes[mode]();
closeSync(file);
console.log(JSON.stringify(result));
