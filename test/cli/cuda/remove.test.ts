// `vgg cuda list --verify` and `vgg cuda remove`: content, names that are wrong, and what an unfinished installation or removal left.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { IndexServer } from "../../support/index-server.ts";
import { environment, makeProgram, makeWheels, newCache, setsOf, tableOf, vgg } from "./program.ts";

const [wheels13, wheels12] = [makeWheels(13), makeWheels(12, ["9.10.2.21"])];
const program = makeProgram(
  [tableOf("cu13-9.28.1.4", wheels13), tableOf("cu12-9.10.2.21", wheels12)].join("\n"),
);
const index = new IndexServer([...wheels13, ...wheels12]);
beforeAll(() => index.start());
afterAll(() => index[Symbol.asyncDispose]());

let cache = "";
beforeEach(() => {
  cache = newCache();
});
const run = (...args: string[]) => vgg(program, args, environment(cache));
const install = (cuda: string) =>
  run("install", "--cuda", cuda, "--accept-license", "--index", index.index);

describe("vgg cuda list --verify", () => {
  it("finds a file whose content changed and whose size did not", async () => {
    expect((await install("13")).status).toBe(0);
    const file = join(setsOf(cache), "cu13-9.28.1.4", "libnvrtc.so.13");
    const bytes = readFileSync(file);
    bytes[100]! ^= 1;
    writeFileSync(file, bytes);
    expect((await run("list")).status).toBe(0);
    const { status, stdout } = await run("list", "--verify", "--json");
    expect(status).toBe(1);
    const problem = expect.stringMatching(/^libnvrtc\.so\.13 has the SHA-256 .* instead of /);
    expect(JSON.parse(stdout).sets).toMatchObject([{ problem }]);
    // An installation looks at the sizes alone, so the set must go first.
    const text = (await run("list", "--verify", "--folder", setsOf(cache))).stdout;
    const at = ` --folder ${setsOf(cache)}`;
    expect(text).toContain(
      `; remove it with: npx vgg-cudnn cuda remove cu13-9.28.1.4${at}, then install it anew with: npx vgg-cudnn cuda install --cuda 13${at}`,
    );
    expect((await run("remove", "cu13-9.28.1.4")).status).toBe(0);
    expect((await install("13")).status).toBe(0);
    expect((await run("list", "--verify")).status).toBe(0);
  });
});

describe.each(["list", "remove"])("vgg cuda %s", (command) => {
  it("refuses an empty --folder, which is not the working directory", async () => {
    const { status, stdout, stderr } = await run(command, "--json", "--folder", "");
    expect([status, stdout]).toEqual([2, ""]);
    expect(JSON.parse(stderr).error).toMatchObject({
      code: "USAGE",
      message: expect.stringContaining("Expected a path for --folder but received"),
    });
  });
});

describe("vgg cuda remove", () => {
  it("removes the only set, or the one that is named", async () => {
    await install("13");
    const { status, stdout } = await run("remove");
    expect([status, stdout]).toEqual([0, "cu13-9.28.1.4 is removed\n"]);
    expect(readdirSync(setsOf(cache))).toEqual([]);
    await install("13");
    await install("12");
    const several = await run("remove");
    expect(several.status).toBe(2);
    expect(several.stderr).toContain("Expected one of cu13-9.28.1.4, cu12-9.10.2.21 for SET");
    const named = await run("remove", "cu12-9.10.2.21", "--json");
    expect(JSON.parse(named.stdout)).toEqual({ name: "cu12-9.10.2.21", folder: setsOf(cache) });
    expect(readdirSync(setsOf(cache))).toEqual(["cu13-9.28.1.4"]);
  });

  it.each(["cu13-9.9", "..", "", "plans", "cu13-9.28.1.4/../.."])(
    "refuses %j, and removes nothing",
    async (name) => {
      await install("13");
      const { status, stderr } = await run("remove", name, "--json");
      expect(status).toBe(2);
      expect(JSON.parse(stderr).error.message).toMatch(
        /^Expected a set in .*, which are cu13-9\.28\.1\.4, for SET/,
      );
      expect(readdirSync(setsOf(cache))).toEqual(["cu13-9.28.1.4"]);
    },
  );

  it("says so if there is none", async () => {
    const none = `Expected a set in ${setsOf(cache)}, `;
    const { status, stderr } = await run("remove");
    expect([status, stderr]).toEqual([2, `vgg: ${none}but it has none\n`]);
    const json = await run("remove", "--json");
    expect(JSON.parse(json.stderr)).toEqual({
      error: { code: "USAGE", message: `${none}but it has none` },
    });
    const named = await run("remove", "cu13-9.28.1.4");
    expect(named.status).toBe(2);
    expect(named.stderr).toContain(`${none}and it has none, for SET but received`);
  });

  it.each([
    ["installation", "part"],
    ["removal", "0123456789ab.old"],
  ])("removes what an unfinished %s left, and leaves plans alone", async (_, end) => {
    const part = join(setsOf(cache), `.cu13-9.28.1.4.${end}`);
    mkdirSync(part, { recursive: true });
    writeFileSync(join(part, "libcudnn.so.9"), "a part");
    writeFileSync(join(setsOf(cache), "0123456789abcdef0123456789abcdef"), "a plan");
    expect((await run("list")).stdout).toContain("cu13-9.28.1.4: not finished, 6 bytes");
    expect((await run("remove", "cu13-9.28.1.4")).status).toBe(0);
    expect(existsSync(part)).toBe(false);
    expect(readdirSync(setsOf(cache))).toEqual(["0123456789abcdef0123456789abcdef"]);
  });
});
