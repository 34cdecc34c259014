// The registry that npm is configured to use, with npm's own credentials, proxies and certificates. The test registry asks it.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import tokenOf from "registry-auth-token";
import { EnvHttpProxyAgent, fetch } from "undici";
import { ToolError } from "./tools.mjs";

const attempts = 3;
/** Answers are kept up to this size in all. A package with all of sharp's platforms takes less. */
const maxKept = 2 ** 28;

/** @returns what npm's configuration says; settings that are not set are undefined */
function configuration() {
  const names = ["registry", "cafile", "https-proxy", "proxy", "noproxy"];
  const { error, status, stdout } = spawnSync(
    "npm",
    ["config", "get", ...names, "--no-update-notifier"],
    {
      encoding: "utf8",
    },
  );
  if (error || status !== 0)
    throw new ToolError(`npm config get failed: ${error?.code ?? `status ${status}`}`);
  const lines = stdout.trimEnd().split("\n");
  const pairs = lines.map((line) => /^([\w-]+) ?= ?"?(.*?)"?$/.exec(line)?.slice(1) ?? []);
  return Object.fromEntries(
    pairs.filter(([, value]) => !["", "null", "undefined", undefined].includes(value)),
  );
}

/** The header for an address; none if npm has no credentials for its host. They go nowhere else. */
function authorization(url) {
  const found = tokenOf(url.href, { recursive: true });
  return found ? { authorization: `${found.type} ${found.token}` } : {};
}

/**
 * Opens the registry that npm is configured to use.
 * @returns `base`, its address without credentials; `get`, which keeps answers with status 200 for the next call; and `close`
 */
export function openUpstream() {
  const config = configuration();
  const base = new URL(config.registry ?? "https://registry.npmjs.org/");
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  const tls = config.cafile ? { ca: readFileSync(config.cafile) } : {};
  const dispatcher = new EnvHttpProxyAgent({
    ...(config.proxy && { httpProxy: config.proxy }),
    ...((config["https-proxy"] ?? config.proxy) && {
      httpsProxy: config["https-proxy"] ?? config.proxy,
    }),
    ...(config.noproxy && { noProxy: config.noproxy }),
    connect: tls,
    requestTls: tls,
  });
  const kept = new Map();
  let size = 0;

  async function ask(url, accept) {
    const response = await fetch(url, {
      dispatcher,
      headers: { ...(accept && { accept }), ...authorization(url) },
    });
    const body = Buffer.from(await response.arrayBuffer());
    return { status: response.status, type: response.headers.get("content-type"), body };
  }

  async function askAgain(url, accept, left = attempts) {
    try {
      const answer = await ask(url, accept);
      return answer.status >= 500 && left > 1 ? await askAgain(url, accept, left - 1) : answer;
    } catch (error) {
      if (left > 1) return askAgain(url, accept, left - 1);
      const reason = error.cause?.code ?? error.cause?.message ?? error.message;
      const body = JSON.stringify({ error: `${url.host} cannot be reached: ${reason}` });
      return { status: 502, type: "application/json", body: Buffer.from(body) };
    }
  }

  async function get(url, accept) {
    const key = `${accept ?? ""} ${url.href}`;
    const known = kept.get(key);
    if (known !== undefined) return known;
    const asked = askAgain(url, accept);
    kept.set(key, asked);
    const answer = await asked;
    if (answer.status !== 200 || size + answer.body.length > maxKept) kept.delete(key);
    else size += answer.body.length;
    return answer;
  }

  return { base: new URL(`${base.origin}${base.pathname}`), get, close: () => dispatcher.close() };
}
