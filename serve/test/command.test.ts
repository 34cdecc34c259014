// `vgg serve`: flags and configuration files, --check, signals, and what it says without the server's package.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { version } from "vgg-cudnn";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { fileOf, saveSmallModel } from "./support/small-model.ts";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
let saved: Awaited<ReturnType<typeof saveSmallModel>>;
beforeAll(async () => {
  saved = await saveSmallModel();
});
afterAll(() => saved?.remove());

const children = new Set<ChildProcess>();
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
});

function vgg(args: string[], env: NodeJS.ProcessEnv = {}) {
  const options = { encoding: "utf8", env: { ...process.env, ...env }, cwd: saved.folder } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, "serve", ...args], options);
  return { status, stdout, stderr };
}

const quick = [
  "--http-port",
  "0",
  "--grpc-port",
  "off",
  "--metrics-port",
  "off",
  "--drain-ms",
  "100",
];
const model = () => ["--model", `small=${saved.weights}`, "--device", "cpu"];

/** Starts the command and waits until it serves. */
async function start(args: string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [main, "serve", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  children.add(child);
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
    });
  const ended = once(child, "exit").then(([status]) => status as number | null);
  const url = () => /REST at (\S+)/.exec(output.stderr)?.[1]?.replace(/,$/, "");
  await expect.poll(() => url() ?? child.exitCode, { timeout: 30_000 }).not.toBeNull();
  return { child, output, ended, url: (path: string) => `http://${url()}${path}` };
}

const classify = (url: string) => fetch(url, { method: "POST", body: fileOf(1) });

describe("vgg serve --check", () => {
  beforeAll(() => {
    writeFileSync(join(saved.folder, "broken.safetensors"), "no weights");
    writeFileSync(join(saved.folder, "three.txt"), "a\nb\nc\n");
  });

  it("lists the models of flags and of a file", () => {
    const config = join(saved.folder, "serve.json");
    writeFileSync(config, JSON.stringify({ models: { other: { weights: "small.safetensors" } } }));
    expect(vgg([...model(), "--config", config, "--check"])).toEqual({
      status: 0,
      stdout: "other: version 1\nsmall: version 1\n",
      stderr: "",
    });
  });

  it.each<[string[], number, string]>([
    [[], 2, "vgg: Expected --model NAME=WEIGHTS or --config FILE but received neither\n"],
    [["--model", "small"], 2, 'vgg: Expected NAME=WEIGHTS for --model but received "small"\n'],
    [
      ["--model", "a=absent.pth", "--check"],
      2,
      "vgg: Expected a file or folder of weights but reading absent.pth gives ENOENT\n",
    ],
    [
      ["--model", "a/b=x", "--check"],
      2,
      'vgg: Expected a name of letters, digits, dots, hyphens and underscores for a name in models but received "a/b"\n',
    ],
    [
      ["--model", "a=x", "--device", "tpu", "--check"],
      2,
      'vgg: Expected "auto", "cpu", "cuda" or "cuda:N" for models.a.devices.0 but received "tpu"\n',
    ],
    [
      ["--model", "a=broken.safetensors", "--check"],
      2,
      'vgg: Expected a model for models.a: broken.safetensors: Expected a PyTorch (.pth) or safetensors file but it is text, which begins with "no weights"\n',
    ],
    [
      ["--model", "a=small.safetensors", "--labels", "three.txt", "--check"],
      2,
      "vgg: Expected 10 names, one for each class, for --labels but received 3\n",
    ],
    [
      ["--model", "a=small.safetensors", "--host", "192.0.2.1", "--check"],
      2,
      "vgg: Expected an interface of this machine for http.host but listening at 192.0.2.1 gives EADDRNOTAVAIL\n",
    ],
    [
      ["--model", "a=small.safetensors", "--http-port", "off", "--grpc-port", "off", "--check"],
      2,
      "vgg: Expected http or grpc to be served but both are off\n",
    ],
    [
      ["--model", "a=small.safetensors", "--http-port", "off", "--grpc-port", "off"],
      2,
      "vgg: Expected http or grpc to be served but both are off\n",
    ],
    [
      ["--config", "absent.json"],
      2,
      "vgg: Expected a configuration file but reading absent.json gives ENOENT\n",
    ],
    [
      ["--model", "a=x", "--model", "a=y"],
      2,
      "vgg: Expected another name for each --model but received a twice\n",
    ],
    [
      ["--http-port", "70000"],
      2,
      "vgg: option '--http-port <port>' argument '70000' is invalid. Expected a port from 0 to 65535, or off.\n",
    ],
  ])("refuses %j", (args, status, stderr) => {
    expect(vgg(args)).toEqual({ status, stdout: "", stderr });
  });
});

describe("vgg serve", () => {
  it("says the command that installs the server if that is absent", () => {
    const hook = `export const resolve = (name, context, next) => {
      if (name !== "vgg-cudnn-serve") return next(name, context);
      throw Object.assign(new Error("Cannot find package 'vgg-cudnn-serve'"), { code: "ERR_MODULE_NOT_FOUND" });
    };`;
    const register = `import { register } from "node:module"; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)});`;
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(register)}`;
    expect(vgg(["--model", "a=b"], { NODE_OPTIONS })).toEqual({
      status: 1,
      stdout: "",
      stderr: `vgg: the server is a package of its own; install it with: npm install vgg-cudnn-serve@${version}\n`,
    });
  });

  it("serves until SIGTERM, answers every request before its end, and exits with 0", async () => {
    const { child, ended, url, output } = await start([...model(), ...quick]);
    const statuses: number[] = [];
    let refused = 0;
    const load = Array.from({ length: 4 }, async () => {
      for (;;) {
        const answer = await classify(url("/classify")).catch(() => undefined);
        // Refused connections are after the end of the listening.
        if (answer === undefined) return refused++;
        statuses.push(answer.status);
      }
    });
    await sleep(300);
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
    await Promise.all(load);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(refused).toBe(4);
    const lines = output.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.filter(({ status }) => status === 200).length).toBe(statuses.length);
  });

  it("ends at once with the second signal", async () => {
    const { child, ended } = await start([...model(), ...quick, "--drain-ms", "60000"]);
    child.kill("SIGINT");
    await sleep(200);
    expect(child.exitCode).toBeNull();
    child.kill("SIGINT");
    expect(await ended).toBe(0);
  });

  it("loads its models anew on SIGHUP", async () => {
    const { child, ended, output } = await start([...model(), ...quick]);
    child.kill("SIGHUP");
    const loads = () => output.stdout.split("a model is ready").length - 1;
    await expect.poll(loads, { timeout: 30_000 }).toBe(2);
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
  });

  it("exits with 1 and a sentence if a model cannot be loaded or a port is taken", async () => {
    const damaged = join(saved.folder, "damaged.safetensors");
    writeFileSync(damaged, "damaged");
    const failed = vgg(["--model", `small=${damaged}`, ...quick]);
    expect(failed.status).toBe(1);
    expect(failed.stderr).toContain("vgg: failed to load 'small': ");
    const { child, ended, url } = await start([...model(), ...quick]);
    const { port } = new URL(url("/"));
    const taken = vgg([...model(), ...quick, "--http-port", port]);
    expect(taken).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("Cannot serve http: listen EADDRINUSE"),
    });
    child.kill("SIGTERM");
    await ended;
  });

  it("passes signals to a process with more threads, which ends with its parent", async () => {
    const threads = fileURLToPath(new URL("../../dist/cli/serve/threads.js", import.meta.url));
    const script = `
      import os from "node:os";
      import { syncBuiltinESMExports } from "node:module";
      os.availableParallelism = () => 12;
      syncBuiltinESMExports();
      const { runWithThreads } = await import(${JSON.stringify(threads)});
      await runWithThreads();
      process.on("SIGTERM", () => process.exit(7));
      process.on("disconnect", () => process.exit(8));
      console.log(process.env.UV_THREADPOOL_SIZE, process.pid);
      setInterval(() => {}, 1000);`;
    const path = join(saved.folder, "threads.mjs");
    writeFileSync(path, script);
    const { UV_THREADPOOL_SIZE: _, ...env } = process.env;
    const begin = async () => {
      const child = spawn(process.execPath, [path], { stdio: ["ignore", "pipe", "inherit"], env });
      children.add(child);
      const [line] = await once(child.stdout.setEncoding("utf8"), "data");
      const [size, pid] = String(line).trim().split(" ").map(Number);
      expect(size).toBe(12);
      expect(pid).not.toBe(child.pid);
      return { child, pid: pid! };
    };
    const first = await begin();
    first.child.kill("SIGTERM");
    expect((await once(first.child, "exit"))[0]).toBe(7);
    const second = await begin();
    second.child.kill("SIGKILL");
    const isAlive = () => {
      try {
        return process.kill(second.pid, 0);
      } catch {
        return false;
      }
    };
    await expect.poll(isAlive, { timeout: 10_000 }).toBe(false);
  });
});
