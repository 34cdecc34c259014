// The test registry: what it serves and passes on, how npm publishes into it, and what it refuses. Another server stands for npm's registry.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasTools, Repository, tool } from "./small-repository.ts";

const repository = new Repository();
const { root, prebuilt, out, scratch } = repository;
const { stage, readStaged } = await tool("stage.mjs");
const { startRegistry } = await tool("registry.mjs");

/** What npm reads settings from. The test has files of its own. */
const settings = join(scratch, "npmrc");
const isolated: NodeJS.ProcessEnv = {
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_|_proxy$|^VGG_/i.test(name)),
  ),
  npm_config_userconfig: settings,
  npm_config_cache: join(scratch, "cache"),
  npm_config_audit: "false",
  npm_config_update_notifier: "false",
};

/** Runs npm to its end while the servers of this process answer. */
async function npm(cwd: string, ...args: string[]) {
  const child = spawn("npm", args, { cwd, env: isolated });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
  const [status] = await once(child, "close");
  return { status, output };
}

function project(manifest: object = {}) {
  const folder = mkdtempSync(join(scratch, "project-"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, ...manifest }));
  return folder;
}

describe.skipIf(!hasTools)("the test registry", () => {
  let registry: Awaited<ReturnType<typeof startRegistry>>;
  let host: ReturnType<typeof createServer>;
  let seen: { path: string; authorization: string | undefined }[] = [];
  const before = { ...process.env };

  beforeAll(async () => {
    // Stands for the registry that npm is configured to use. It has one package and wants credentials.
    const tarball = readFileSync(stage({ root, prebuilt, out }).at(-2).tarball);
    host = createServer((request, response) => {
      seen.push({ path: request.url!, authorization: request.headers.authorization });
      const url = `http://127.0.0.1:${(host.address() as AddressInfo).port}`;
      const dist = { tarball: `${url}/files/other-3.0.0.tgz` };
      if (request.headers.authorization !== "Bearer secret") response.writeHead(401).end("{}");
      else if (request.url === "/npm/other")
        response.end(
          JSON.stringify({
            name: "other",
            "dist-tags": { latest: "3.0.0" },
            versions: { "3.0.0": { name: "other", version: "3.0.0", dist } },
          }),
        );
      else if (request.url === "/files/other-3.0.0.tgz") response.end(tarball);
      else response.writeHead(404).end("{}");
    });
    host.listen(0, "127.0.0.1");
    await once(host, "listening");
    const address = `127.0.0.1:${(host.address() as AddressInfo).port}`;
    writeFileSync(settings, `registry=http://${address}/npm\n//${address}/:_authToken=secret\n`);
    for (const name of Object.keys(process.env))
      if (/^npm_|_proxy$/i.test(name)) delete process.env[name];
    process.env.npm_config_userconfig = settings;
    registry = await startRegistry({
      packages: readStaged(out),
      unpublished: ["@vgg-cudnn/win32-x64", "@vgg-cudnn/darwin-x64"],
    });
  });
  afterAll(async () => {
    await registry.close();
    host.close();
    Object.assign(process.env, before);
    repository.remove();
  });

  const get = async (path: string, init?: RequestInit) => {
    const response = await fetch(registry.url + path, init);
    // biome-ignore lint/suspicious/noExplicitAny: what a registry says.
    return { status: response.status, body: (await response.json()) as any };
  };

  it("gives npm the main package and the one platform package that fits", async () => {
    const folder = project();
    const args = ["--registry", registry.url, "--os=linux", "--cpu=arm64", "--libc=musl"];
    const { status, output } = await npm(folder, "install", "vgg-cudnn", ...args);
    expect([status, output]).toEqual([0, expect.stringContaining("added 2 packages")]);
    expect(readdirSync(join(folder, "node_modules/@vgg-cudnn"))).toEqual(["linux-arm64-musl"]);
    const addon = join(folder, "node_modules/@vgg-cudnn/linux-arm64-musl/vgg_cudnn.node");
    expect(readFileSync(addon, "utf8")).toBe("an addon for linux-arm64-musl");
  });

  it("knows nothing of platforms that are not published, and never asks for them elsewhere", async () => {
    seen = [];
    for (const name of ["@vgg-cudnn/win32-x64", "@vgg-cudnn%2fdarwin-x64"])
      expect((await get(name)).status).toBe(404);
    expect(seen).toEqual([]);
    await expect(startRegistry({ unpublished: ["@vgg-cudnn/linux"] })).rejects.toThrow(
      "@vgg-cudnn/linux is no staged package",
    );
  });

  it("passes other names on with npm's credentials, and their tarballs too", async () => {
    seen = [];
    const { body } = await get("other");
    const { tarball } = body.versions["3.0.0"].dist;
    expect(tarball).toBe(`${registry.url}other/-/other-3.0.0.tgz`);
    expect((await fetch(tarball)).status).toBe(200);
    await get("other");
    expect(seen).toEqual([
      { path: "/npm/other", authorization: "Bearer secret" },
      { path: "/files/other-3.0.0.tgz", authorization: "Bearer secret" },
    ]);
    expect(JSON.stringify(body)).not.toContain("secret");
    expect((await get("@scope%2fabsent")).status).toBe(404);
  });

  it("takes what npm publishes with its token, once a version, and moves its tags", async () => {
    const other = new Repository("2.0.0");
    const [{ tarball }] = stage({
      ...other,
      out: join(scratch, "second"),
      platforms: ["win32-x64"],
    });
    const name = "@vgg-cudnn/win32-x64";
    const publish = (token: string) =>
      npm(
        scratch,
        ...["publish", tarball, "--tag", "next", "--access", "public", "--registry", registry.url],
        `--${registry.url.slice(5)}:_authToken=${token}`,
      );
    expect((await publish("wrong")).output).toContain("Expected the token of this registry");
    expect(registry.has(name)).toBe(false);
    expect(await publish(registry.token)).toMatchObject({ status: 0 });
    expect(registry.has(name)).toBe(true);
    const again = await publish(registry.token);
    expect([again.status, again.output]).toEqual([
      1,
      expect.stringMatching(/cannot publish over the previously published version/i),
    ]);
    const { status } = await npm(
      scratch,
      ...["dist-tag", "add", `${name}@2.0.0`, "tried", "--registry", registry.url],
      `--${registry.url.slice(5)}:_authToken=${registry.token}`,
    );
    expect(status).toBe(0);
    expect((await get(name)).body["dist-tags"]).toEqual({
      next: "2.0.0",
      latest: "2.0.0",
      tried: "2.0.0",
    });
    other.remove();
  });

  it("refuses damaged uploads, strange names and other methods", async () => {
    const headers = { authorization: `Bearer ${registry.token}` };
    const put = (path: string, value: unknown) =>
      get(path, { method: "PUT", headers, body: JSON.stringify(value) });
    const upload = (name: string, dist: object) => ({
      versions: { "1.0.0": { name, version: "1.0.0", dist } },
      _attachments: { "a.tgz": { data: "AAAA" } },
    });
    const name = "@vgg-cudnn/linux-x64-gnu";
    expect(await put(name, {})).toMatchObject({ status: 400 });
    expect(await put(name, upload(name, { integrity: "sha512-x" }))).toMatchObject({
      status: 400,
      body: { error: expect.stringContaining("hashes") },
    });
    expect(await put("other", upload("other", {}))).toMatchObject({ status: 400 });
    const tag = `-/package/${encodeURIComponent(name)}/dist-tags/latest`;
    expect(await put(tag, "9.9.9")).toMatchObject({ status: 404 });
    expect(await get(name, { method: "PUT", headers, body: "{" })).toMatchObject({ status: 400 });
    expect(await get(name, { method: "DELETE", headers })).toMatchObject({ status: 405 });
    seen = [];
    for (const path of ["a/b/c", "https:%2f%2f127.0.0.1:1%2fa", "%"])
      expect([404, 400]).toContain((await get(path)).status);
    expect(seen).toEqual([]);
  });

  it("wants a port that is free", async () => {
    const port = new URL(registry.url).port;
    await expect(startRegistry({ port: Number(port) })).rejects.toThrow(
      `Port ${port} cannot be used (EADDRINUSE); name another with --port`,
    );
  });

  it("says that the registry beyond cannot be reached, without its credentials", async () => {
    host.close();
    host.closeAllConnections();
    const { status, body } = await get("something-else");
    expect([status, body.error]).toEqual([502, expect.stringContaining("cannot be reached")]);
    expect(JSON.stringify(body)).not.toContain("secret");
  });
});
