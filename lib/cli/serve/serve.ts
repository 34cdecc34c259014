// `vgg serve`: runs the server of vgg-cudnn-serve until a signal ends it.
import type { Command } from "commander";
import { writeError, writeOut } from "../text.js";
import { optionsOf, type ServeFlags, withServeFlags } from "./flags.js";
import { installation, loadPackage, type Server } from "./package.js";
import { runWithThreads } from "./threads.js";

export function serveCommand(): Command {
  return withServeFlags().action(serve);
}

async function serve(flags: ServeFlags): Promise<void> {
  const server = await loadPackage();
  if (server === undefined) {
    writeError(`vgg: the server is a package of its own; install it with: ${installation}\n`);
    process.exitCode = 1;
    return;
  }
  const file = flags.config === undefined ? undefined : await server.readConfig(flags.config);
  const options = optionsOf(flags, file);
  try {
    if (flags.check) {
      for (const { name, versions } of await server.validateOptions(options))
        writeOut(
          `${name}: ${versions.length === 1 ? "version" : "versions"} ${versions.join(", ")}\n`,
        );
      return;
    }
    if (await runWithThreads()) return;
    const ending = endBySignal(
      Number(options.drainMs ?? 5000) + Number(options.shutdownMs ?? 30_000),
    );
    const running = await server.serve(options);
    ending.attach(running, flags.exitOnDeviceLost);
    writeError(`vgg: ${addressesOf(running)}\n`);
    await ending.end;
  } catch (error) {
    // What a model's load says has a class of the package. Everything else is reported as for the other commands.
    if (!(error instanceof Error) || error.name !== "ServeError") throw error;
    writeError(`vgg: ${error.message}\n`);
    process.exit(1);
  }
}

function addressesOf({ addresses }: Server): string {
  const at = ({ address, port }: { address: string; port: number }) =>
    address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  const { http, grpc, metrics } = addresses;
  return [
    ...(http ? [`REST at ${at(http)}`] : []),
    ...(grpc ? [`gRPC at ${at(grpc)}`] : []),
    ...(metrics ? [`metrics at ${at(metrics)}/metrics`] : []),
  ].join(", ");
}

/** How much longer than its own limits an end may take. */
const graceMs = 5000;

/**
 * Ends the process by signals: the first SIGTERM or SIGINT ends the server in order, the second one at once. SIGHUP loads
 * the models anew. Before the server serves, a signal ends the process at once.
 */
function endBySignal(limitMs: number) {
  let running: Server | undefined;
  let isEnding = false;
  let finish: () => void = () => {};
  const end = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const close = (status: number) => {
    if (isEnding || running === undefined) process.exit(status);
    isEnding = true;
    setTimeout(() => process.exit(1), limitMs + graceMs).unref();
    running.close().then(
      () => {
        finish();
        process.exit(status);
      },
      (error: unknown) => {
        writeError(`vgg: ${error instanceof Error ? error.message : error}\n`);
        process.exit(1);
      },
    );
  };
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => close(0));
  // The process that started this one for its threads is gone.
  process.on("disconnect", () => close(0));
  process.on("SIGHUP", () => {
    running?.reload().catch((error: Error) => writeError(`vgg: ${error.message}\n`));
  });
  return {
    end,
    attach(server: Server, exitsOnLoss: boolean) {
      running = server;
      server.deviceLost.then((model) => {
        writeError(`vgg: ${model} has lost its last device\n`);
        if (exitsOnLoss) close(1);
      });
    },
  };
}
