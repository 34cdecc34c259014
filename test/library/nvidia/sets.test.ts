// Sets of NVIDIA's libraries in a folder: what stays of an earlier set while another takes its name.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import fsPromises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { installSet } from "../../../lib/nvidia/sets/install-set.ts";
import { readSet } from "../../../lib/nvidia/sets/installed.ts";
import { type LibrarySet, thisPlatform } from "../../../lib/nvidia/sets/set.ts";
import { contentOf, makeWheel } from "../../support/wheels.ts";

const root = mkdtempSync(join(tmpdir(), "vgg-sets-"));
afterAll(() => rmSync(root, { recursive: true }));
const name = "cu13-9.28.1.4";

/** Makes a set of one library, with its wheel in a folder. */
function makeSet(content: Uint8Array): { set: LibrarySet; from: string } {
  const { wheel, bytes } = makeWheel("nvidia-one-cu13", { "libone.so.1": content });
  const from = mkdtempSync(join(root, "from-"));
  writeFileSync(join(from, wheel.file), bytes);
  return {
    set: { name, cuda: 13, platform: thisPlatform(), isTested: true, wheels: [wheel] },
    from,
  };
}

describe("a set that takes the name of an earlier one", () => {
  it("leaves the earlier one as it was if the rename fails, and replaces it later", async () => {
    const folder = join(root, "sets");
    const options = { folder, onProgress: () => {} };
    const [old, next] = [contentOf(2000, 1), contentOf(3000, 2)];
    const first = makeSet(old);
    await installSet(first.set, { ...options, from: first.from });
    const content = () => new Uint8Array(readFileSync(join(folder, name, "libone.so.1")));
    const second = makeSet(next);
    const install = () => installSet(second.set, { ...options, from: second.from });
    const { rename } = fsPromises;
    try {
      fsPromises.rename = async (from, to) => {
        if (String(from).endsWith(`${name}.part`))
          throw Object.assign(new Error("no room"), { code: "ENOSPC" });
        return rename(from, to);
      };
      syncBuiltinESMExports();
      await expect(install()).rejects.toMatchObject({ code: "DISK_FULL" });
    } finally {
      fsPromises.rename = rename;
      syncBuiltinESMExports();
    }
    expect(readSet(join(folder, name), name).problem).toBeNull();
    expect(content()).toEqual(old);
    expect(await install()).toMatchObject({ wasInstalled: false, receivedBytes: 0 });
    expect(content()).toEqual(next);
    expect(readdirSync(folder)).toEqual([name]);
  });
});
