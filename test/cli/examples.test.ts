// The examples and README's own program compile, and run as they are. Those that need other packages run in test/recipes/.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const run = (args: string[]) => spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
const compiler = join(root, "node_modules/typescript/bin/tsc");
/** False in the bundle for GPU servers. */
const hasCompiler = existsSync(compiler);
/** Whether this Node runs TypeScript; 22 warns of it. */
const runsTypeScript = Boolean((process.features as { typescript?: unknown }).typescript);
const quiet = ["--disable-warning=ExperimentalWarning"];
const hasDocs = existsSync(join(root, "docs"));
const read = (path: string) => readFileSync(join(root, path), "utf8");

/** Whether a program imports only Node's modules and this package. */
function isSelfContained(file: string): boolean {
  const imported = [...read(`examples/${file}`).matchAll(/ from "([^"]+)"/g)].map(
    ([, name]) => name!,
  );
  return imported.every((name) => name === "vgg-cudnn" || name.startsWith("node:"));
}

const programs = readdirSync(join(root, "examples"))
  .filter((file) => file.endsWith(".ts") && isSelfContained(file))
  .sort();

/** The examples as JavaScript: Node runs TypeScript itself only since 22.18. Below the root, which has the package's name. */
const compiled = ".cache/examples";

describe("examples", () => {
  beforeAll(() => {
    rmSync(join(root, compiled), { recursive: true, force: true });
    mkdirSync(join(root, compiled), { recursive: true });
  });

  it.runIf(hasCompiler)("compile in a strict project", () => {
    const config = {
      extends: "../../tsconfig.json",
      compilerOptions: {
        skipLibCheck: false,
        noEmit: false,
        rootDir: "../../examples",
        outDir: ".",
      },
      files: programs.map((file) => `../../examples/${file}`),
      include: [],
    };
    writeFileSync(join(root, compiled, "tsconfig.json"), JSON.stringify(config));
    expect(programs).toHaveLength(9);
    expect(run([compiler, "-p", compiled]).stdout).toBe("");
  });

  it.runIf(hasCompiler || runsTypeScript).each(programs)("%s", (file) => {
    const path = hasCompiler ? `${compiled}/${file.replace(/ts$/, "js")}` : `examples/${file}`;
    const { status, stdout, stderr } = run([...quiet, path]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).not.toBe("");
    if (hasDocs && file === "07-vgg11-by-hand.ts")
      expect(read("docs/recipes/vgg11-by-hand.md")).toContain(`\`\`\`\n${stdout}\`\`\`\n`);
  });

  it.runIf(hasDocs)("docker/Dockerfile is what the recipe shows", () => {
    const file = read("examples/docker/Dockerfile");
    expect(read("docs/recipes/docker.md")).toContain(`\`\`\`dockerfile\n${file}\`\`\`\n`);
  });

  it("README.md", () => {
    const program = read("README.md").match(/```ts\n(import \{ Tensor.*?)```/s)![1]!;
    const { status, stdout, stderr } = run(["--input-type=module", "--eval", program]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^\[ 1, 1000 \] \[ 1, 256, 56, 56 \] 132863336 (cpu|cuda)/);
  });
});
