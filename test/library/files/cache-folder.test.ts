// Which cache folder the environment selects, and which one users without a home folder get.
import { spawnSync } from "node:child_process";
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeEach, describe, expect, it } from "vitest";

const scratch = mkdtempSync(join(tmpdir(), "vgg-cache-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const dist = new URL("../../../dist/", import.meta.url).href;
// Makes os.homedir fail as it does for a user without HOME and without an entry in passwd.
const homeless = `import os from "node:os"; import { syncBuiltinESMExports } from "node:module";
  os.homedir = () => { throw Object.assign(new Error("uv_os_homedir"), { code: "ERR_SYSTEM_ERROR" }); };
  syncBuiltinESMExports();`;

/** Runs a program in a separate process with these environment variables, PATH and TMPDIR. Returns the JSON that it prints. */
function run(code: string, env: Record<string, string>, before = "", command: string[] = []) {
  const program = `${before}; const say = (value) => console.log(JSON.stringify(value));
    const caught = (error) => ({ name: error.constructor.name, code: error.code, message: error.message }); ${code}`;
  const [file, ...args] = [...command, process.execPath, "--input-type=module", "-e", program];
  const { stdout, stderr } = spawnSync(file!, args, {
    encoding: "utf8",
    cwd: scratch,
    env: { PATH: process.env.PATH, TMPDIR: join(scratch, "tmp"), ...env },
  });
  expect(stderr).toBe("");
  return JSON.parse(stdout);
}

const folders = `const { userCacheFolder } = await import("${dist}files/cache-folder.js");
  try { say(userCacheFolder()); } catch (error) { say(caught(error)); }`;
const devices = `const { openDevice, pullWeights } = await import("${dist}index.js");
  say(await openDevice("auto").then(({ kind }) => kind, caught));`;
const own = join(scratch, "tmp", `vgg-cudnn-${process.getuid?.()}`);

beforeEach(() => {
  rmSync(join(scratch, "tmp"), { recursive: true, force: true });
  mkdirSync(join(scratch, "tmp"), { mode: 0o1777 });
});

describe("the user's cache folder", () => {
  it("is XDG_CACHE_HOME if that is absolute, else .cache in the home folder", () => {
    expect(run(folders, { XDG_CACHE_HOME: "/somewhere/else", HOME: scratch })).toBe(
      "/somewhere/else",
    );
    for (const ignored of ["", "relative", "./relative"])
      expect(run(folders, { XDG_CACHE_HOME: ignored, HOME: scratch })).toBe(
        join(scratch, ".cache"),
      );
    expect(run(folders, { HOME: "/nonexistent" })).toBe("/nonexistent/.cache");
    expect(run(folders, {})).toBe(join(homedir(), ".cache"));
  });

  it("is a private folder below the folder for temporary files if there is no home folder", () => {
    expect(run(folders, { HOME: "" })).toBe(own);
    expect(lstatSync(own).mode & 0o777).toBe(0o700);
    expect(run(folders, {}, homeless)).toBe(own);
    expect(run(folders, { HOME: "relative" })).toBe(own);
  });

  it("is refused there if others can write to it, or if it is a link", () => {
    const refused = { name: "VggError", code: "FOLDER_UNUSABLE" };
    mkdirSync(own);
    chmodSync(own, 0o777);
    expect(run(folders, { HOME: "" })).toMatchObject(refused);
    rmSync(own, { recursive: true });
    mkdirSync(join(scratch, "tmp", "elsewhere"), { mode: 0o700 });
    symlinkSync(join(scratch, "tmp", "elsewhere"), own);
    expect(run(folders, { HOME: "" })).toMatchObject(refused);
    expect(run(folders, { HOME: "", TMPDIR: join(scratch, "missing") })).toMatchObject({
      ...refused,
      message: expect.stringMatching(/^Expected a folder .* but received ENOENT; set HOME/),
    });
  });
});

describe("without a home folder", () => {
  it('"auto" opens the CPU, even if no folder can be created', () => {
    // A folder without libraries, so that a GPU of this machine is not opened.
    const none = { VGG_CUDA_PATH: scratch, CUDA_VISIBLE_DEVICES: "" };
    expect(run(devices, none, homeless)).toBe("cpu");
    expect(run(devices, { ...none, TMPDIR: "/dev/null" }, homeless)).toBe("cpu");
  });

  it("a download fails with a VggError that asks for a folder", () => {
    const code = `const { pullWeights } = await import("${dist}index.js");
      say(await pullWeights("vgg11", "DEFAULT", { offline: true }).then(String, caught));`;
    expect(run(code, {}, homeless)).toMatchObject({ name: "VggError", code: "OFFLINE" });
    expect(run(code, { TORCH_HOME: "~/torch" }, homeless)).toMatchObject({ code: "OFFLINE" });
    const missing = { TMPDIR: join(scratch, "missing") };
    expect(run(code, missing, homeless)).toMatchObject({ code: "FOLDER_UNUSABLE" });
  });

  const stranger = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"];
  const canBe =
    process.getuid?.() === 0 &&
    spawnSync(stranger[0]!, [
      ...stranger.slice(1),
      process.execPath,
      "-e",
      `fs.readFileSync(${JSON.stringify(fileURLToPath(`${dist}index.js`))})`,
    ]).status === 0;
  it.runIf(canBe)("a user who is not in passwd gets the CPU", () => {
    chmodSync(scratch, 0o755);
    expect(run(devices, {}, "", stranger)).toBe("cpu");
  });
});
