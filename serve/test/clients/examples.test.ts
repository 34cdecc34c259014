// The examples of docs/clients.md and docs/grpc.md run as they stand there, with the addresses of the tests' server.
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, inject, it } from "vitest";
import { classesOf } from "./expected.ts";
import { photos } from "./images.ts";
import { has, hasCurl, program, runIn } from "./programs.ts";
import { folder as cache } from "./tools.mjs";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const blocks = ["docs/clients.md", "docs/grpc.md"].flatMap((page) => {
  const text = readFileSync(join(root, page), "utf8");
  const found = [...text.matchAll(/^```(python|sh)\n(.*?)^```$/gms)];
  return found.map(([, kind, code], index) => ({
    name: `${page} ${index + 1}`,
    kind,
    code: code!,
  }));
});

describe.runIf(has("python", "perf_analyzer", "grpcurl") && hasCurl())("the example", () => {
  const shared = inject("shared");

  it.each(blocks)("$name works", async ({ kind, code }) => {
    const folder = join(shared.folder, "examples");
    mkdirSync(folder, { recursive: true });
    copyFileSync(photos[0]!, join(folder, "cat.jpg"));
    const text = code
      .replaceAll("localhost:8000", shared.server.http)
      .replaceAll("localhost:8001", shared.server.grpc)
      .replaceAll("serve/lib/grpc/proto", join(root, "serve/lib/grpc/proto"))
      // Fewer and shorter measurements.
      .replace("1:8:7", "8 --measurement-interval 300 --stability-percentage 999");
    const PATH = `${dirname(program("grpcurl"))}:${process.env.PATH}`;
    const [command, args] =
      kind === "python" ? [`${cache}venv/bin/python`, ["-c", text]] : ["bash", ["-ec", text]];
    const said = await runIn(folder, { PATH }, command!, ...args!);
    if (code.includes("features.8")) return expect(said).toBe("(1, 1000) (1, 256, 56, 56)\n");
    if (code.includes("perf_analyzer")) return expect(said).toMatch(/Execution count: [1-9]/);
    const { index, label } = classesOf(photos.slice(0, 1))[0]![0]!;
    expect(said).toMatch(new RegExp(`\\b${index}\\b.*${label}`));
    if (code.includes("grpcurl")) expect(said).toContain('"status": "SERVING"');
  });

  it("is there for each client", () => {
    const all = blocks.map(({ code }) => code).join("");
    for (const name of ["tritonclient.http", "tritonclient.grpc", "kserve", "open_inference"])
      expect(all).toContain(name);
    expect(blocks.length).toBe(7);
  });
});
