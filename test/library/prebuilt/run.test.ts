// What npm/run/ says before it runs anything: wrong names, runners that are missing, and musl's package as apt describes it.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const folder = join(fileURLToPath(new URL("../../..", import.meta.url)), "npm/run");
/** Absent in the bundle for GPU servers. */
const hasTools = existsSync(folder);
const load = (name: string) => import(join(folder, name));
const { choosePackage, isNewEnough } = hasTools ? await load("musl.mjs") : {};
const { runWithFiles } = hasTools ? await load("programs.mjs") : {};
const { windowsPath } = hasTools ? await load("wine.mjs") : {};
const { installOnce } = hasTools ? await load("folders.mjs") : {};

const scratch = mkdtempSync(join(tmpdir(), "vgg-runs-"));
afterAll(() => rmSync(scratch, { recursive: true }));

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(folder, "run.mjs"), ...args],
    { encoding: "utf8", env: { PATH: scratch } },
  );
  return { status, stdout, stderr: stderr.trimEnd() };
}

describe.runIf(hasTools && process.platform === "linux" && process.arch === "x64")(
  "npm run test:prebuilt",
  () => {
    it("refuses an unknown platform and an unknown option with status 2", () => {
      expect(run("linux-x86")).toMatchObject({
        status: 2,
        stderr: expect.stringMatching(/^test:prebuilt: unknown platform: linux-x86; /),
      });
      expect(run("--fast")).toMatchObject({ status: 2 });
    });

    it("says that nothing here runs macOS and Windows on arm64", () => {
      for (const name of ["darwin-arm64", "win32-arm64"])
        expect(run(name)).toEqual({
          status: 1,
          stdout: "",
          stderr:
            `test:prebuilt: Nothing on Linux runs ${name}; ` +
            "the platforms that run are linux-x64-gnu linux-x64-musl linux-arm64-gnu linux-arm64-musl win32-x64",
        });
    });

    it("says in one sentence which runner is missing, and what to install", () => {
      const { status, stderr } = run("linux-x64-gnu", "linux-arm64-gnu");
      expect(stderr).toMatch(
        /^test:prebuilt: linux-arm64-gnu needs qemu-aarch64.* to run\. On Debian: apt install qemu-user/,
      );
      expect([status, stderr.split("\n").length]).toEqual([1, 1]);
    });
  },
);

describe.runIf(hasTools)("musl's package", () => {
  const digits = "0123456789abcdef";
  const hashes = [`SHA256:${digits.repeat(4)}`, `SHA512:${digits.repeat(8)}`];
  const line = (file: string, hash = hashes[0]) =>
    `'https://example.org/pool/m/musl/${file}' ${file} 1 ${hash}`;

  it("is apt's own if Node starts with it", () => {
    const file = "musl_1.2.4-2_amd64.deb";
    const uri = `https://example.org/pool/m/musl/${file}`;
    for (const hash of hashes)
      expect(choosePackage(`${line(file, hash)}\n`)).toEqual({ uri, hash });
  });

  it("is Debian 13's in the same folder if apt's own is too old", () => {
    expect(choosePackage(line("musl_1.2.3-1_amd64.deb"))).toEqual({
      uri: expect.stringMatching(/^https:\/\/example\.org\/pool\/m\/musl\/musl_1\.2\.5-/),
      hash: expect.stringMatching(/^SHA256:[0-9a-f]{64}$/),
    });
  });

  it("is asked for if apt does not know it", () => {
    expect(() => choosePackage("")).toThrow("Expected apt to know the package musl");
    expect(() => choosePackage(line("musl_1.2.3-1_amd64.deb").replace("SHA256", "MD5"))).toThrow();
  });

  it("is compared by the numbers of its version", () => {
    const versions = ["1.2.3", "1.1.24", "1.2.4", "1.2.10", "1.3.0", "2.0.0"];
    const accepted = versions.filter((version) => isNewEnough(`musl_${version}-1_amd64.deb`));
    expect(accepted).toEqual(["1.2.4", "1.2.10", "1.3.0", "2.0.0"]);
    expect(isNewEnough("other.deb")).toBe(false);
  });
});

describe.runIf(hasTools && process.platform !== "win32")("a program with files as output", () => {
  const sh = (script: string, limit = 60) => runWithFiles("/bin/sh", ["-c", script], { limit });

  it("returns what it printed, and how it failed", async () => {
    expect(await sh("echo out; echo err >&2")).toMatchObject({
      stdout: "out\n",
      stderr: "err\n",
      failure: undefined,
    });
    expect(await sh("exit 3")).toMatchObject({ failure: 3 });
    expect(await sh("kill -9 $$")).toMatchObject({ failure: "SIGKILL" });
    expect(await runWithFiles("/none", [], { limit: 1 })).toMatchObject({
      failure: expect.stringMatching(/ENOENT/),
    });
  });

  it("is killed if this process is asked to end, which then cleans up", async () => {
    const script = join(scratch, "interrupted.mjs");
    writeFileSync(
      script,
      `import { runWithFiles } from ${JSON.stringify(join(folder, "programs.mjs"))};
import { runMain } from ${JSON.stringify(join(folder, "../tools.mjs"))};
await runMain("test", async () => {
  try {
    setTimeout(() => console.log("started"), 100);
    await runWithFiles("/bin/sleep", ["60"], { limit: 60 });
  } finally {
    await runWithFiles("/bin/true", [], { limit: 60 });
    console.log("cleaned up");
  }
});`,
    );
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const child = spawn(process.execPath, [script]);
      let text = "";
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding("utf8").on("data", (part) => {
          text += part;
        });
      child.stdout.once("data", () => child.kill(signal));
      expect(await once(child, "close")).toEqual([130, null]);
      expect(text).toBe("started\ncleaned up\ntest: interrupted\n");
    }
  });

  it("is killed with its children after its time", async () => {
    const { failure, stdout } = await sh("sleep 60 & echo $!; wait", 0.5);
    expect(failure).toBe("no end within 0.5 s");
    expect(stdout).toMatch(/^\d+\n$/);
    await expect.poll(() => existsSync(`/proc/${stdout.trim()}/exe`)).toBe(false);
  });
});

describe.runIf(hasTools)("the folders of the runs", () => {
  it("are filled once for each key, and again after a failure", () => {
    const target = join(scratch, "once");
    let calls = 0;
    const fill = () => {
      calls++;
    };
    const fail = () => {
      throw new Error("no network");
    };
    expect(() => installOnce(target, "1", fail)).toThrow("no network");
    for (const key of ["1", "1", "2"]) installOnce(target, key, fill);
    expect(calls).toBe(2);
    expect(readdirSync(target)).toHaveLength(1);
  });

  it("have other names for Windows", () => {
    expect(windowsPath("/a b/c.mjs")).toBe("Z:\\a b\\c.mjs");
  });
});
