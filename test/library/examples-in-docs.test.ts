// Each example in a docstring, and each TypeScript block of the pages, compiles in a strict project against the built package.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import * as publicNames from "../../dist/index.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const compiler = join(root, "node_modules/typescript/bin/tsc");
/** Below the root, so that "vgg-cudnn" is the package itself. */
const folder = join(root, ".cache/examples-in-docs");

/** The names of types that examples use. */
const typeNames = ["AnyTensor", "RunOptions"];

/** Names that an example may use without declaring them. */
const given = `
import type * as vgg from "vgg-cudnn";
declare global {
  const model: vgg.Vgg;
  const device: vgg.Device;
  const deviceTensor: vgg.DeviceTensor;
  const builder: vgg.GraphBuilder;
  const record: vgg.GraphRecord;
  const paths: readonly string[];
  const graph: vgg.Graph;
  const parameters: vgg.ParameterStore;
  const x: vgg.Value, pixels: vgg.Value, row: vgg.Value, logits: vgg.Value, probabilities: vgg.Value;
  const weight: vgg.ParameterValue, bias: vgg.ParameterValue;
  const mean: vgg.ParameterValue, variance: vgg.ParameterValue;
}
`;

interface Example {
  /** The file and line of the tag. */
  readonly place: string;
  readonly code: string;
}

/** The examples of one source file. */
function examplesOf(path: string): Example[] {
  const text = readFileSync(join(root, path), "utf8");
  const lineAt = (offset: number) => text.slice(0, offset).split("\n").length;
  return [...text.matchAll(/\/\*\*(?:(?!\*\/)[\s\S])*@example[\s\S]*?\*\//g)].flatMap((docstring) =>
    [...docstring[0].matchAll(/@example([\s\S]*?)(?=\n\s*\* @[a-z]|\n?\s*\*\/)/g)].map((tag) => ({
      place: `${path}:${lineAt(docstring.index + tag.index)}`,
      code: tag[1]!.replace(/^\s*\* ?/gm, "").trim(),
    })),
  );
}

/** The TypeScript blocks of a page. */
function blocksOf(path: string): Example[] {
  const text = readFileSync(join(root, path), "utf8");
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)]
    .map((block) => ({
      place: `${path}:${text.slice(0, block.index).split("\n").length}`,
      code: block[1]!,
    }))
    .filter(({ code }) => !/ from "(?!node:|vgg-cudnn")/.test(code)); // other packages are not here
}

/** Whether a page has programs. vgg11-by-hand.md shows parts of one, which test/cli/examples.test.ts runs. */
const hasPrograms = (path: string) =>
  path.endsWith(".md") && !/^(generated|images)\/|vgg11-by-hand/.test(path);

const hasSources = existsSync(join(root, "lib")) && existsSync(compiler);
const examples = hasSources
  ? readdirSync(join(root, "lib"), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts"))
      .sort()
      .flatMap((path) => examplesOf(`lib/${path}`))
  : [];
const blocks = hasSources
  ? [
      "README.md",
      ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
        .filter(hasPrograms)
        .sort()
        .map((path) => `docs/${path}`),
    ].flatMap(blocksOf)
  : [];
const all = [...examples, ...blocks];

/** Returns an example as a module. The imports take one line, so the example starts on line 2. */
function moduleOf({ code }: Example): string {
  if (/^import .* from "vgg-cudnn"/m.test(code)) return `\n${code}\nexport {};\n`;
  const names = [...Object.keys(publicNames), ...typeNames].filter((name) =>
    new RegExp(`\\b${name}\\b`).test(code),
  );
  return `import { ${[...new Set(names)].join(", ")} } from "vgg-cudnn"; import { createReadStream } from "node:fs";\n${code}\nexport {};\n`;
}

describe.runIf(hasSources)("the examples in docstrings", () => {
  it("are found", () => {
    expect(examples.length).toBeGreaterThan(60);
    expect(blocks.length).toBeGreaterThan(7);
    expect(all.filter(({ code }) => code === "")).toEqual([]);
  });

  it("compile", () => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const extended = { extends: "../../tsconfig.json", include: ["*.ts"] };
    const compilerOptions = {
      ...{ noUnusedLocals: false, verbatimModuleSyntax: false, skipLibCheck: false },
      ...{ target: "es2022", lib: ["es2022"] },
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ ...extended, compilerOptions }));
    writeFileSync(join(folder, "given.d.ts"), given);
    for (const [index, example] of all.entries())
      writeFileSync(join(folder, `example-${index}.ts`), moduleOf(example));
    const { stdout } = spawnSync(process.execPath, [compiler, "-p", folder], { encoding: "utf8" });
    const failures = stdout.replace(
      /^.*?example-(\d+)\.ts/gm,
      (_, index) => all[Number(index)]!.place,
    );
    expect(failures).toBe("");
  });
});

describe.runIf(hasSources)("the declarations", () => {
  const declarations = readdirSync(join(root, "dist"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".d.ts") && !/^(cli|native)\//.test(path))
    .map((path) => [path, readFileSync(join(root, "dist", path), "utf8")] as const);

  it("have no internal members", () => {
    expect(declarations.filter(([, text]) => text.includes("@internal"))).toEqual([]);
    const model = declarations.find(([path]) => path === join("vgg", "model.d.ts"))![1];
    expect(model).toContain("loadReport");
    expect(model).not.toContain("lastForward");
  });

  it("give typed arrays no type argument, which TypeScript before 5.7 does not have", () => {
    const typed = /\b(Float|Int|Uint|BigInt|BigUint)\d+(Clamped)?Array<.*/g;
    expect(
      declarations.flatMap(([path, text]) =>
        [...text.matchAll(typed)].map(([at]) => `${path}: ${at}`),
      ),
    ).toEqual([]);
  });

  it("let each option be undefined", () => {
    const strict = declarations.flatMap(([path, text]) =>
      [...text.matchAll(/interface (\w+Options)\b[^{]*\{([\s\S]*?)^\}/gm)].flatMap(
        ([, name, body]) =>
          [...body!.matchAll(/^ {4}(?:readonly )?(\w+)\?: ([\s\S]*?);\n/gm)]
            .filter(([, , type]) => !type!.includes("undefined"))
            .map(([, option]) => `${path}: ${name}.${option}`),
      ),
    );
    expect(strict).toEqual([]);
  });
});
