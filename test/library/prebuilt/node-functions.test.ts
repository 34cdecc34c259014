// The list of Node-API's functions that Windows' addon looks up, compared with what the addon of this machine asks for.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const addon = process.env.VGG_ADDON ?? join(root, "build/Release/vgg_cudnn.node");
const source = join(root, "native/napi/node_functions_windows.cc");

/** The names in an addon's table of symbols: each ends with a zero, and on macOS begins with an underscore. */
function namesIn(file: string) {
  const text = readFileSync(file, "latin1");
  return [...text.matchAll(/(?<=\0_?)(?:napi|node_api)_\w+(?=\0)/g)].map(([name]) => name);
}
/** The names that the addon exports itself. */
const exported = ["napi_register_module_v1", "node_api_module_get_api_version_v1"];

describe.skipIf(process.platform === "win32" || !existsSync(source))(
  "the functions of Node-API that the addon looks up on Windows",
  () => {
    const namesListed = () =>
      [...readFileSync(source, "utf8").matchAll(/ F\((\w+)\)/g)].map(([, name]) => name!);

    it("include each that the addon calls here", () => {
      const listed = namesListed();
      const called = new Set(namesIn(addon).filter((name) => !exported.includes(name)));
      expect(called.size).toBeGreaterThan(50);
      expect([...called].filter((name) => !listed.includes(name))).toEqual([]);
    });

    it("are listed once, in order", () => {
      const listed = namesListed();
      expect(listed).toEqual([...new Set(listed)].sort());
    });
  },
);
