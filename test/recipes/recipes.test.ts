// The recipes with what they are for: servers and other runtimes. bundlers.test.ts has bundlers. `npm run recipes:fetch` brings these.
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { checkAnswers } from "./answers.ts";
import {
  copyExamples,
  installPackage,
  isFetched,
  node22,
  project,
  root,
  run,
  serve,
  tool,
} from "./project.ts";

/** The status that a body of 11 MiB gets. Fastify answers to the header and closes the connection, Express reads the body first. */
async function statusOfLargeBody(address: string): Promise<number | undefined> {
  const body = new Uint8Array(11 * 2 ** 20);
  const headers = { "content-type": "image/png", "content-length": body.length };
  const posted = request(`${address}/classify`, { method: "POST", headers });
  posted.flushHeaders();
  const answered = once(posted, "response") as Promise<[IncomingMessage]>;
  const isEarly = await Promise.race([answered.then(() => true), setTimeout(1_000, false)]);
  if (!isEarly) posted.end(body);
  const [answer] = await answered;
  posted.on("error", () => {}).destroy();
  return answer.statusCode;
}

/** Also the limit on bytes, and a request without a body. */
async function checkServer(address: string): Promise<void> {
  await checkAnswers(address);
  expect(await statusOfLargeBody(address)).toBe(413);
  expect([400, 422]).toContain((await fetch(`${address}/classify`, { method: "POST" })).status);
}

/** Compiles files of the project with the root's compiler. @returns what it prints */
function compile(name: string, include: readonly string[], compilerOptions: object): string {
  // Express brings newer types of Node than the root has: these know node:sqlite.
  const options = { ...compilerOptions, typeRoots: ["node_modules/@types"] };
  const config = { extends: "../../tsconfig.json", compilerOptions: options, include, exclude: [] };
  writeFileSync(join(project, name), JSON.stringify(config));
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  return run(process.execPath, [compiler, "-p", name]).stdout;
}

describe.runIf(isFetched)("the recipes", () => {
  /** What the compiler says of the examples. Their JavaScript is in compiled/, for a Node that does not run TypeScript. */
  let said = "";
  beforeAll(() => {
    installPackage();
    copyExamples();
    rmSync(join(project, "compiled"), { recursive: true, force: true });
    const emitted = { noEmit: false, rootDir: "examples", outDir: "compiled" };
    said = compile("tsconfig.json", ["examples/*.ts"], emitted);
  });

  it("compile with the types of the servers", () => {
    expect(said).toBe("");
    const javaScript = { allowJs: true, checkJs: true, noImplicitAny: false };
    expect(compile("tsconfig.next.json", ["examples/nextjs/app/classify/*.js"], javaScript)).toBe(
      "",
    );
  });

  it.each(["09-fastify", "10-express"])(
    "%s answers images, refuses others and ends",
    async (file) => {
      const { end, output } = await serve(process.execPath, [`compiled/${file}.js`], checkServer);
      expect([end, output]).toEqual([0, expect.stringMatching(/^http:\S+\n$/)]);
    },
  );

  it.runIf(isFetched && node22() !== undefined)(
    "11-similar-images.ts keeps embeddings in SQLite, and finds images again",
    () => {
      const database = join(project, "images.db");
      rmSync(database, { force: true });
      const folder = "test/golden/images";
      const find = (query: string) => {
        const program = ["--disable-warning=ExperimentalWarning", "examples/11-similar-images.ts"];
        const { status, stdout, stderr } = run(node22()!, [
          ...program,
          ...[folder, `${folder}/${query}`, database],
        ]);
        expect([status, stderr]).toEqual([0, ""]);
        return stdout.trimEnd().split("\n");
      };
      for (const query of ["portrait.jpg", "gray.png"]) {
        const found = find(query);
        expect(found).toHaveLength(5);
        expect(found.slice(0, 2).map((line) => line.slice(7))).toEqual([
          `${folder}/${query}`,
          `${folder}/${query}.crop.png`,
        ]);
        expect(found[0]!.slice(0, 6)).toBe("1.0000");
        const similarities = found.map((line) => Number(line.slice(0, 6)));
        expect(similarities).toEqual([...similarities].sort((a, b) => b - a));
      }
    },
  );

  const programs = [
    "04-own-graph.ts",
    "05-folder-to-csv.ts",
    "07-vgg11-by-hand.ts",
    "08-worker.ts",
  ];
  describe.each([
    ["Bun", tool.bind(null, "bun"), ["run"]],
    ["Deno", tool.bind(null, "deno"), ["run", "--allow-all"]],
  ] as const)("on %s", (_, command, args) => {
    it.each(programs)("%s runs", (program) => {
      const { status, stdout, stderr } = run(command(), [...args, `examples/${program}`]);
      expect([status, stderr]).toEqual([0, ""]);
      expect(stdout).not.toBe("");
    });
  });

  it("give the same classes on Node, Bun and Deno", () => {
    const program = "examples/01-forward.ts";
    const expected = run(process.execPath, ["compiled/01-forward.js"]).stdout;
    expect(expected).toMatch(/^image 0: classes/);
    expect(run(tool("bun"), ["run", program]).stdout).toBe(expected);
    const allowed = ["--allow-ffi", "--allow-read", "--allow-env", "--allow-sys"];
    expect(run(tool("deno"), ["run", ...allowed, program]).stdout).toBe(expected);
  });
});
