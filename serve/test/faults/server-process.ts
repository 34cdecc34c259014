// A server of the small network in a process of its own, which can be measured, starved of file descriptors and killed.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import type { ServeOptions } from "vgg-cudnn-serve";
import { onTestFinished } from "vitest";

const path = fileURLToPath(new URL("../support/server-process.mjs", import.meta.url));

/** What the process says of itself. */
interface Sample {
  readonly rssMB: number;
  readonly fileDescriptors: number;
  readonly handles: number;
}

export interface ServerProcess {
  readonly child: ChildProcess;
  readonly http: number;
  readonly grpc: number;
  readonly measure: () => Promise<Sample>;
}

/** Starts a server. It is killed when the test ends. @param maxFiles its limit of open files */
export async function startProcess(
  weights: string,
  options: Partial<ServeOptions> = {},
  maxFiles?: number,
): Promise<ServerProcess> {
  const settings = {
    models: { small: { weights, devices: ["cpu"], threads: 2, warmup: false } },
    ...{ http: { port: 0 }, grpc: { port: 0 }, metrics: false, drainMs: 0 },
    log: { file: "/dev/null" },
    ...options,
  };
  const args = ["--expose-gc", path, JSON.stringify(settings)];
  const limited = ["-c", `ulimit -n ${maxFiles} && exec "$0" "$@"`, process.execPath, ...args];
  const [command, all] = maxFiles === undefined ? [process.execPath, args] : ["bash", limited];
  const child = spawn(command, all, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const message = async () => {
    const ended = once(child, "exit").then(([code, signal]) => {
      throw new Error(`the server ended with ${code ?? signal}`);
    });
    return Promise.race([once(child, "message").then(([value]) => value), ended]);
  };
  const ports = await message();
  const measure = () => {
    child.send("measure");
    return message();
  };
  return { child, ...ports, measure };
}

/** Opens a connection. It is closed when the test ends. */
export async function open(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  return socket;
}

/** Sends a text on a connection. @returns what comes until the text `until`, or until the end */
export async function talk(socket: Socket, text: string, until = "\r\n\r\n"): Promise<string> {
  let received = "";
  socket.setEncoding("latin1");
  const found = new Promise<string>((resolve) => {
    socket.on("data", (part) => {
      received += part;
      if (received.includes(until)) resolve(received);
    });
    socket.once("close", () => resolve(received));
  });
  socket.write(text);
  return found;
}
