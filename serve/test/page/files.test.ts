// The files of the page as the server gives them, without a browser.
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { pagePaths } from "../../lib/http/page/files.ts";
import { createApp, serve } from "../../lib/index.ts";
import { saveSmallModel } from "../support/small-model.ts";

let saved: Awaited<ReturnType<typeof saveSmallModel>>;
beforeAll(async () => {
  saved = await saveSmallModel();
});
afterAll(() => saved?.remove());

const silent = { info: () => {}, warn: () => {}, error: () => {} };
const options = () => ({
  models: { small: { weights: saved.weights, devices: ["cpu"], warmup: false } },
  logger: silent,
});

it("serves every script of the page, and no other file", () => {
  const sources = readdirSync(new URL("../../page/", import.meta.url));
  const scripts = sources.filter((name) => name.endsWith(".ts")).map((name) => name.slice(0, -3));
  const served = pagePaths.flatMap((path) => /^\/page\/(\w+)\.js$/.exec(path)?.[1] ?? []);
  expect(served.sort()).toEqual(scripts.sort());
});

it("sends headers that let the page load nothing else, and a tag that spares a second load", async () => {
  const { app, close } = await createApp({ ...options(), page: true });
  try {
    for (const path of pagePaths) {
      const answer = await app.request(path);
      expect(answer.status, path).toBe(200);
      const { headers } = answer;
      const policy = headers.get("content-security-policy")!;
      expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
      expect(policy).not.toContain("unsafe");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("cache-control")).toBe("no-cache");
      expect((await answer.arrayBuffer()).byteLength).toBeGreaterThan(100);
      const tag = headers.get("etag")!;
      const again = await app.request(path, { headers: { "If-None-Match": `W/"x", ${tag}` } });
      expect([again.status, await again.text()]).toEqual([304, ""]);
    }
    const refused = await app.request("/", { method: "POST" });
    expect([refused.status, refused.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    expect((await app.request("/page/package.json")).status).toBe(404);
    expect((await app.request("/page/..%2f..%2fpackage.json")).status).toBe(404);
  } finally {
    await close();
  }
});

it("is off if it is not wanted, and in a server of a team's own", async () => {
  const ports = { http: { port: 0 }, grpc: false, metrics: false, drainMs: 0 } as const;
  await using server = await serve({ ...options(), ...ports, page: false });
  const url = `http://127.0.0.1:${server.addresses.http!.port}`;
  for (const path of ["/", "/page/main.js"]) expect((await fetch(url + path)).status).toBe(404);
  await using mounted = await createApp(options());
  expect((await mounted.app.request("/")).status).toBe(404);
});
