// What `vgg cuda list` and `vgg doctor` say about sets that are not whole can be pasted into a shell; and what a failed installation leaves.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { shellWord } from "../../../lib/cli/cuda/advice.ts";
import { IndexServer } from "../../support/index-server.ts";
import {
  environment,
  makeProgram,
  makeWheels,
  newCache,
  scratch,
  setsOf,
  tableOf,
  vgg,
} from "./program.ts";

const wheels13 = makeWheels(13);
const program = makeProgram(tableOf("cu13-9.28.1.4", wheels13));
const index = new IndexServer(wheels13);
beforeAll(() => index.start());
afterAll(() => index[Symbol.asyncDispose]());

/** The arguments of an installation without a question. */
const install = (...args: string[]) => [
  ...["install", "--cuda", "13", "--accept-license", "--index", index.index],
  ...args,
];
const json = (text: string) => JSON.parse(text);

describe("vgg cuda without a command", () => {
  it("prints its help on stderr and nothing else, and fails", async () => {
    const { status, stdout, stderr } = await vgg(program, [], environment(newCache()));
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^Usage: vgg cuda /);
    expect(stderr).toContain("install, list and remove NVIDIA's libraries");
    expect(stderr).not.toContain("outputHelp");
    const help = await vgg(program, ["--help"], environment(newCache()));
    expect([help.status, help.stdout, help.stderr]).toEqual([0, stderr, ""]);
  });
});

describe("a failed installation", () => {
  it.each<[string, string[], string, NodeJS.ProcessEnv]>([
    ["a folder of wheels that is not there", ["--from", "/nope"], "OFFLINE", {}],
    ["a folder without the wheels", ["--from", scratch], "OFFLINE", {}],
    ["no network", ["--index", "http://127.0.0.1:9/"], "OFFLINE", { VGG_OFFLINE: "1" }],
    ["an index that is none", ["--index", "http://[::1"], "USAGE", {}],
    ["an index that has no packages", ["--index", "NONE"], "DOWNLOAD_FAILED", {}],
  ])("leaves nothing unfinished: %s", async (_, args, code, more) => {
    await using empty = await new IndexServer([]).start();
    const cache = newCache();
    const given = args.map((each) => (each === "NONE" ? empty.index : each));
    const all = ["install", "--cuda", "13", "--accept-license", "--json", ...given];
    const { stderr } = await vgg(program, all, environment(cache, more));
    expect(json(stderr).error.code).toBe(code);
    const list = await vgg(program, ["list", "--json"], environment(cache));
    expect(json(list.stdout)).toMatchObject({ sets: [], unfinished: [] });
    expect(existsSync(setsOf(cache)) ? readdirSync(setsOf(cache)) : []).toEqual([]);
  });

  it("beside a damaged set leaves that set alone", async () => {
    const cache = newCache();
    expect((await vgg(program, install(), environment(cache))).status).toBe(0);
    const folder = join(setsOf(cache), "cu13-9.28.1.4");
    unlinkSync(join(folder, "libnvrtc.so.13"));
    const names = readdirSync(folder);
    const args = ["install", "--cuda", "13", "--accept-license", "--from", "/nope"];
    expect((await vgg(program, args, environment(cache))).status).toBe(1);
    expect(readdirSync(setsOf(cache))).toEqual(["cu13-9.28.1.4"]);
    expect(readdirSync(folder)).toEqual(names);
  });
});

describe("vgg doctor", () => {
  const doctor = (env: NodeJS.ProcessEnv, ...args: string[]) =>
    spawnSync(process.execPath, [program, "doctor", ...args], { env, encoding: "utf8" }).stdout;
  // The report is broken into lines of 80 characters.
  const joined = (text: string) => text.replace(/\n {16}/g, " ");

  it("names a damaged set, its fault and what mends it", () => {
    const cache = newCache();
    const folder = join(setsOf(cache), "cu13-9.28.1.4");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "set.json"), "{");
    const problem = "set.json does not list the files of a set";
    expect(json(doctor(environment(cache), "--json")).cuda).toMatchObject({
      set: null,
      damagedSets: [{ name: "cu13-9.28.1.4", folder, problem }],
    });
    expect(joined(doctor(environment(cache)))).toContain(
      `none  set       cu13-9.28.1.4 at ${folder} is damaged: ${problem}; install it anew with: npx vgg-cudnn cuda install --cuda 13 `,
    );
  });

  it("names the folder of a damaged set that VGG_CUDA_PATH leads to", () => {
    const [cache, sets] = [newCache(), newCache()];
    mkdirSync(join(sets, "cu13-9.28.1.4"), { recursive: true });
    const text = joined(doctor(environment(cache, { VGG_CUDA_PATH: sets })));
    expect(text).toContain(`set.json is missing; install it anew with: npx vgg-cudnn cuda install`);
    expect(text).toContain(` --cuda 13 --folder ${sets} `);
  });

  it("has no damaged set on a machine without sets", () => {
    const cache = newCache();
    expect(json(doctor(environment(cache), "--json")).cuda.damagedSets).toEqual([]);
    expect(doctor(environment(cache))).not.toContain("damaged");
  });
});

describe("what vgg cuda list recommends", () => {
  const list = async (folder: string) =>
    (await vgg(program, ["list", "--folder", folder], environment(newCache()))).stdout;

  it("is a CUDA major on a machine without a driver", async () => {
    const { stdout } = await vgg(program, ["list"], environment(newCache()));
    expect(stdout).toMatch(/install one with: npx vgg-cudnn cuda install --cuda 13\n$/);
  });

  it.each([
    ["cu13-9.28.1.4", "install it anew with: npx vgg-cudnn cuda install --cuda 13 AT"],
    [
      "cu12-9.10.2.21-12.9.1-12.9.2",
      "remove it with: npx vgg-cudnn cuda remove cu12-9.10.2.21-12.9.1-12.9.2 AT, then install the newest versions with: npx vgg-cudnn cuda install --cuda 12 --latest AT",
    ],
    [
      "cu13-9.1",
      "remove it with: npx vgg-cudnn cuda remove cu13-9.1 AT, then install the tested set with: npx vgg-cudnn cuda install --cuda 13 AT",
    ],
  ])("for a damaged %s installs the same kind", async (name, expected) => {
    const folder = join(newCache(), "it's here");
    mkdirSync(join(folder, name), { recursive: true });
    const at = `--folder '${folder.replace("'", "'\\''")}'`;
    expect(await list(folder)).toContain(
      `${name}: set.json is missing; ${expected.replaceAll("AT", at)}\n`,
    );
  });

  it.each([
    ["cu13-9.28.1.4", "npx vgg-cudnn cuda install --cuda 13 AT goes on, REMOVE"],
    [
      "cu13-9.99-13.9-13.9",
      "npx vgg-cudnn cuda install --cuda 13 --latest AT goes on unless the index has newer versions, REMOVE",
    ],
    ["cu13-9.1", "REMOVE"],
  ])("for an unfinished %s goes on if that is possible", async (name, expected) => {
    const folder = newCache();
    mkdirSync(join(folder, `.${name}.part`), { recursive: true });
    writeFileSync(join(folder, `.${name}.part`, "libcudnn.so.9"), "a part");
    const text = expected
      .replace("REMOVE", `npx vgg-cudnn cuda remove ${name} AT removes it`)
      .replaceAll("AT", `--folder ${folder}`);
    expect(await list(folder)).toContain(`${name}: not finished, 6 bytes; ${text}\n`);
  });

  it
    .skipIf(process.platform === "win32")
    .each(["plain/a-1", "a b", "it's", '$HOME "x" `y` \\', "~"])(
    "names the folder %j as a shell reads it",
    (word) => {
      const { stdout } = spawnSync("sh", ["-c", `printf %s ${shellWord(word, "linux")}`], {
        encoding: "utf8",
      });
      expect(stdout).toBe(word);
    },
  );

  it("names a folder as Windows's shells read it", () => {
    expect(shellWord("C:\\sets", "win32")).toBe("C:\\sets");
    expect(shellWord("C:\\My sets", "win32")).toBe('"C:\\My sets"');
    expect(shellWord("C:\\My sets\\", "win32")).toBe('"C:\\My sets\\\\"');
  });
});
