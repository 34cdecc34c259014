// The package under Jest, and its types in CommonJS. `npm run recipes:fetch` brings Jest and TypeScript 5.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { installPackage, isFetched, modules, project, root, run, tool } from "./project.ts";

const folder = join(project, "commonjs");

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true });
  installPackage(join(folder, "node_modules"));
});

describe.runIf(isFetched)("under Jest, the package", () => {
  const jest = (manifest: object, file: string, text: string) => {
    const tests = join(folder, file.replace(/\W/g, "-"));
    mkdirSync(tests);
    writeFileSync(join(tests, "package.json"), JSON.stringify(manifest));
    writeFileSync(join(tests, file), text);
    const options = { NODE_OPTIONS: "--experimental-vm-modules --no-warnings", VGG_CUDA_PATH: "" };
    return run(tool("jest"), [], tests, options);
  };

  it("falls back to the CPU, and its errors have their classes", () => {
    const { status, stderr } = jest(
      { type: "module", jest: { transform: {}, testTimeout: 60_000 } },
      "realm.test.js",
      `import { openDevice, Tensor, Vgg, VggError } from "vgg-cudnn";
      test("auto", async () => {
        const options = { imageSize: 32, numClasses: 2, hiddenFeatures: 64 };
        const model = await Vgg.create("vgg11", options);
        await expect(openDevice("cuda:99")).rejects.toBeInstanceOf(VggError);
        const wrong = model.forward(Tensor.randn([1, 4, 32, 32]));
        await expect(wrong).rejects.toBeInstanceOf(RangeError);
        await expect(model.classify("absent.jpg")).rejects.toMatchObject({ code: "IMAGE_UNREADABLE" });
        await model.dispose();
        const late = await model.forward(Tensor.randn([1, 3, 32, 32])).catch((error) => error);
        expect(late).toBeInstanceOf(VggError);
        expect(late).toBeInstanceOf(Error);
        expect(late.code).toBe("DISPOSED");
      });`,
    );
    expect(status, stderr).toBe(0);
  });

  it("is imported by a test in CommonJS", () => {
    const { status, stderr } = jest(
      { type: "commonjs", jest: { testTimeout: 60_000 } },
      "imported.test.js",
      `test("import", async () => {
        const { Vgg } = await import("vgg-cudnn");
        const model = await Vgg.create("vgg11", { imageSize: 32, numClasses: 2, hiddenFeatures: 64 });
        await model.dispose();
      });`,
    );
    expect(status, stderr).toBe(0);
  });
});

/** The same types by each way: an import of one way takes what another way gave. */
const program = `import { Tensor, Vgg, type VggOptions } from "vgg-cudnn";
export async function f(options: VggOptions): Promise<void> {
  const model: Vgg = await Vgg.create("vgg11", options);
  const module = await import("vgg-cudnn");
  const other: Vgg = await module.Vgg.create("vgg11");
  const logits: Tensor = await model.forward(module.Tensor.randn([1, 3, 32, 32]));
  // @ts-expect-error: it is a number
  const text: string = other.parameterCount;
  console.log(logits.shape, text);
}
console.log(typeof Vgg.create);
`;

describe.runIf(isFetched).each([
  ["5", join(modules, "typescript-5")],
  ["7", join(root, "node_modules/typescript")],
])("with TypeScript %s, the types", (version, typescript) => {
  const compile = (name: string, ...options: string[]) => {
    const sources = join(folder, `${name}-${version}`);
    mkdirSync(sources, { recursive: true });
    writeFileSync(join(sources, "package.json"), JSON.stringify({ type: "commonjs" }));
    writeFileSync(join(sources, "program.ts"), program);
    const compiler = join(typescript, "bin/tsc");
    const strict = ["--strict", "--target", "es2022", "--ignoreConfig"].slice(
      0,
      version === "5" ? 3 : 4,
    );
    const args = [compiler, ...strict, ...options, "program.ts"];
    return { ...run(process.execPath, args, sources), sources };
  };

  it.each(["node16", "node18", "nodenext"])("are found by CommonJS with module %s", (module) => {
    const { status, stdout, sources } = compile(module, "--module", module);
    expect(status, stdout).toBe(0);
    expect(run(process.execPath, ["program.js"], sources).stdout).toBe("function\n");
  });

  it("are found for a bundler", () => {
    const options = ["--module", "esnext", "--moduleResolution", "bundler", "--noEmit"];
    const { status, stdout } = compile("bundler", ...options);
    expect(status, stdout).toBe(0);
  });
});
