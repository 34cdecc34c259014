// The processes that bench/serve.mjs compares: vgg serve, Express with onnxruntime-node, and the library without a server.
import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const pathOf = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Waits for a text that a child prints. @returns the match */
function waitFor(child, stream, pattern) {
  let text = "";
  return new Promise((resolve, reject) => {
    stream.setEncoding("utf8").on("data", (part) => {
      text += part;
      const match = pattern.exec(text);
      if (match !== null) resolve(match);
    });
    child.once("exit", (status) => reject(new Error(`It ended with ${status}: ${text}`)));
  });
}

/** Ends a child in order. */
async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}

export async function startServe({ weights, threads, folder }) {
  const config = join(folder, "serve.json");
  const [http, grpc, metrics] = [{ port: 0 }, { port: 0 }, { port: 0 }];
  // All connections come from one address. The usual queue of 64 images would leave room to other clients and refuse 12 of them.
  const batching = { maxQueueSize: 256 };
  const models = { vgg11: { weights, devices: ["cpu"], threads, batching } };
  // The log has its line for each request, as usual.
  const rest = { log: { file: "/dev/null" }, drainMs: 0 };
  writeFileSync(config, JSON.stringify({ models, http, grpc, metrics, ...rest }));
  const args = [pathOf("../../dist/cli/main.js"), "serve", "--config", config];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
  const pattern = /REST at ([^,\s]+), gRPC at ([^,\s]+), metrics at ([^,/\s]+)/;
  const [, ...found] = await waitFor(child, child.stderr, pattern);
  /** Requests that succeeded so far. h2load does not see the status of a call of gRPC. */
  const successes = async () => {
    const text = await (await fetch(`http://${found[2]}/metrics`)).text();
    const line = /^nv_inference_request_success\{.*\} (\S+)$/m.exec(text);
    return Number(line?.[1]);
  };
  return { http: found[0], grpc: found[1], successes, stop: () => stop(child) };
}

export async function startExpress({ onnx, threads }) {
  const child = spawn(process.execPath, [pathOf("express.mjs"), onnx, String(threads)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [text] = await waitFor(child, child.stdout, /\{.*\}/);
  const { port } = JSON.parse(text);
  /** Waits for the runs of clients that have left. Express goes on with them, and they would slow the next subject. */
  const settle = () => fetch(`http://127.0.0.1:${port}/idle`);
  return { port, settle, stop: () => stop(child) };
}

export async function startLibrary({ weights, threads, folder }) {
  const child = fork(pathOf("library.mjs"), [weights, String(threads), folder]);
  await once(child, "message");
  const ask = async (order) => {
    const answer = once(child, "message");
    child.send(order);
    return (await answer)[0];
  };
  return { ask, stop: () => stop(child) };
}
