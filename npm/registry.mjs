// `node npm/registry.mjs`: a registry of npm on loopback for tests. It has staged packages, takes `npm publish`, and passes other names on.
// Options: --folder build/packages, --port 4873, and --unpublished NAME, which may be repeated. docs/releasing.md describes it.
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readStaged } from "./stage.mjs";
import { root, runMain, ToolError, UsageError } from "./tools.mjs";
import { openUpstream } from "./upstream.mjs";

/** Names that are never passed on: ours, whether they are published or not. */
const ours = /^(vgg-cudnn(-serve)?|@vgg-cudnn\/[^/]+)$/;

/** Package managers may refuse versions of the last days. */
const published = "2020-01-01T00:00:00.000Z";
const maxUpload = 2 ** 27;

/** An answer that is not 200. */
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** A file's name in a tarball's address, as npm's registry writes it. */
const tarballPath = (name, version) => `${name}/-/${basename(name)}-${version}.tgz`;

function hashesOf(bytes) {
  const hash = (algorithm, encoding) => createHash(algorithm).update(bytes).digest(encoding);
  return { integrity: `sha512-${hash("sha512", "base64")}`, shasum: hash("sha1", "hex") };
}

/** The packages that are published here, in memory. */
class Packages {
  #packages = new Map();

  /** Adds a version. The first one of a package is also its `latest`, as in npm's registry. */
  add(manifest, bytes, tag = "latest") {
    const { name, version } = manifest;
    const one = this.#packages.get(name) ?? { versions: new Map(), tags: {} };
    if (one.versions.has(version))
      throw new Refusal(403, `You cannot publish over the previously published version ${version}`);
    one.versions.set(version, { manifest, bytes });
    one.tags[tag] = version;
    one.tags.latest ??= version;
    this.#packages.set(name, one);
  }

  has(name) {
    return this.#packages.has(name);
  }

  #get(name) {
    const one = this.#packages.get(name);
    if (one === undefined) throw new Refusal(404, `${name} is not published here`);
    return one;
  }

  tags(name) {
    return this.#get(name).tags;
  }

  setTag(name, tag, version) {
    const { versions, tags } = this.#get(name);
    if (!versions.has(version)) throw new Refusal(404, `${name} has no version ${version}`);
    tags[tag] = version;
  }

  /** What the registry says about a package. */
  document(name, url) {
    const { versions, tags } = this.#get(name);
    const entries = [...versions].map(([version, { manifest, bytes }]) => {
      const { preinstall, install, postinstall } = manifest.scripts ?? {};
      const dist = { tarball: url + tarballPath(name, version), ...hashesOf(bytes) };
      const hasInstallScript = [preinstall, install, postinstall].some(Boolean);
      return [version, { ...manifest, _id: `${name}@${version}`, hasInstallScript, dist }];
    });
    const times = [...versions.keys()].map((version) => [version, published]);
    return {
      ...{ _id: name, name, "dist-tags": tags, versions: Object.fromEntries(entries) },
      time: { created: published, modified: published, ...Object.fromEntries(times) },
    };
  }

  tarball(path) {
    for (const [name, { versions }] of this.#packages)
      for (const [version, { bytes }] of versions)
        if (tarballPath(name, version) === path) return bytes;
    throw new Refusal(404, `${path} is not published here`);
  }

  /** Takes what `npm publish` sends. */
  publish(name, document) {
    const [manifest, another] = Object.values(document.versions ?? {});
    const file = Object.entries(document._attachments ?? {}).find(([key]) => key.endsWith(".tgz"));
    if (manifest === undefined || another !== undefined || file === undefined)
      throw new Refusal(400, "Expected one version and its tarball");
    if (manifest.name !== name || !ours.test(name))
      throw new Refusal(400, `Expected a package of this project but received ${name}`);
    const { dist, _id, ...rest } = manifest;
    const bytes = Buffer.from(file[1].data, "base64");
    const found = hashesOf(bytes);
    if (dist?.integrity !== found.integrity || dist.shasum !== found.shasum)
      throw new Refusal(400, `Expected the tarball of ${name} to have the hashes that were sent`);
    this.add(rest, bytes, Object.keys(document["dist-tags"] ?? {})[0]);
  }
}

async function bodyOf(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length > maxUpload) throw new Refusal(413, `Expected at most ${maxUpload} bytes`);
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString());
  } catch {
    throw new Refusal(400, "Expected JSON");
  }
}

/** Passes requests on, and makes tarballs come through this registry too. */
class Beyond {
  #upstream;
  #isOurs;
  #tarballs = new Map();

  constructor(upstream) {
    this.#upstream = upstream;
    this.#isOurs = upstream === undefined;
  }

  /** Opened by the first request, because it runs npm. */
  #open() {
    this.#upstream ??= openUpstream();
    return this.#upstream;
  }

  async get(path, accept, url) {
    const { base, get } = this.#open();
    const at = (relative) => new URL(base.href + relative);
    if (path.endsWith(".tgz")) return get(this.#tarballs.get(path) ?? at(encodeURI(path)), accept);
    if (!/^(@[^/]+\/)?[^/]+$/.test(path)) throw new Refusal(404, `${path} is no package`);
    const answer = await get(at(encodeURIComponent(path)), accept);
    if (answer.status !== 200) return answer;
    const document = JSON.parse(answer.body.toString());
    for (const { name, version, dist } of Object.values(document.versions ?? {})) {
      const own = tarballPath(name, version);
      this.#tarballs.set(own, new URL(dist.tarball));
      dist.tarball = url + own;
    }
    return { ...answer, body: Buffer.from(JSON.stringify(document)) };
  }

  async close() {
    if (this.#isOurs) await this.#upstream?.close();
  }
}

const json = (value) => ({ type: "application/json", body: Buffer.from(JSON.stringify(value)) });

/** Answers the requests that change packages. */
async function change(packages, path, request, token) {
  if (request.headers.authorization !== `Bearer ${token}`)
    throw new Refusal(401, "Expected the token of this registry");
  const body = await bodyOf(request);
  const tag = /^-\/package\/(.+)\/dist-tags\/([^/]+)$/.exec(path);
  if (tag) packages.setTag(tag[1], tag[2], body);
  else packages.publish(path, body);
  return json({ ok: true });
}

/** The path of a request without its first slash. */
function pathOf(request, url) {
  try {
    return decodeURIComponent(new URL(request.url, url).pathname.slice(1));
  } catch {
    throw new Refusal(400, "Expected a path");
  }
}

async function answer({ packages, beyond, token, url }, request) {
  const path = pathOf(request, url);
  if (request.method === "PUT") return change(packages, path, request, token);
  // What `npm audit` asks. Nothing is known here.
  if (request.method === "POST" && path.startsWith("-/npm/v1/security/")) return json({});
  if (request.method !== "GET" && request.method !== "HEAD")
    throw new Refusal(405, `${request.method} is not known here`);
  const tags = /^-\/package\/(.+)\/dist-tags$/.exec(path);
  if (tags) return json(packages.tags(tags[1]));
  if (path.startsWith("-/")) return json(path === "-/whoami" ? { username: "test" } : {});
  const name = path.split("/-/", 1)[0];
  if (!ours.test(name)) return beyond.get(path, request.headers.accept, url);
  return path === name
    ? json(packages.document(name, url))
    : { type: "application/octet-stream", body: packages.tarball(path) };
}

/**
 * Starts a registry on loopback.
 * @param options.packages what `stage` or `pack` returns, published as `latest`
 * @param options.unpublished names of packages that are not published although they are in `packages`
 * @param options.upstream what `openUpstream` returns, for registries that keep the same answers; its owner closes it
 * @returns `url`; `token`, which `npm publish` must send; `add(package)`; `has(name)`; and `close()`
 */
export async function startRegistry({
  packages: staged = [],
  unpublished = [],
  upstream,
  port = 0,
} = {}) {
  const packages = new Packages();
  const beyond = new Beyond(upstream);
  const token = randomBytes(16).toString("hex");
  const add = ({ manifest, tarball }) => packages.add(manifest, readFileSync(tarball));
  const names = staged.map(({ name }) => name);
  const unknown = unpublished.filter((name) => !names.includes(name));
  if (unknown.length > 0)
    throw new ToolError(`${unknown.join(", ")} is no staged package; they are ${names.join(" ")}`);
  for (const one of staged) if (!unpublished.includes(one.name)) add(one);
  const state = { packages, beyond, token, url: "" };
  const server = createServer(async (request, response) => {
    let result;
    try {
      result = { status: 200, ...(await answer(state, request)) };
    } catch (error) {
      result = { ...json({ error: error.message }), status: error.status ?? 500 };
    }
    const { status, type, body } = result;
    response.writeHead(status, {
      "content-type": type ?? "application/octet-stream",
      "content-length": body.length,
    });
    response.end(request.method === "HEAD" ? undefined : body);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening").catch(({ code }) => {
    throw new ToolError(`Port ${port} cannot be used (${code}); name another with --port`);
  });
  state.url = `http://127.0.0.1:${server.address().port}/`;
  async function close() {
    server.closeAllConnections();
    server.close();
    await beyond.close();
  }
  return { url: state.url, token, add, has: (name) => packages.has(name), close };
}

async function main() {
  const { values } = parseArgs({
    options: {
      folder: { type: "string", default: join(root, "build/packages") },
      port: { type: "string", default: "4873" },
      unpublished: { type: "string", multiple: true, default: [] },
    },
  });
  const { unpublished, port } = values;
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65535)
    throw new UsageError(`Expected a port from 0 to 65535 for --port but received ${port}`);
  const packages = readStaged(values.folder);
  const { url, token } = await startRegistry({ packages, unpublished, port: Number(port) });
  console.log(
    `${url} serves ${packages.length - unpublished.length} packages until it is stopped.`,
  );
  console.log(`Install from it with: npm install vgg-cudnn --registry=${url}`);
  console.log(
    `Publish to it with: npm publish --${url.slice(5)}:_authToken=${token} --registry=${url}`,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runMain("registry", main);
