// Runs README's commands with the package as npm publishes it, in a project that runs no install scripts. docs/ci.md says what
// this checks. A local server stands in for the mirror of torchvision's weights. It has random weights under a name like the
// published one, and the table of known weights in the installed package names that file.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  copyFileSync,
  createReadStream,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const project = mkdtempSync(join(tmpdir(), "vgg-packed-"));
const at = (name) => join(project, name);

// Uses no cache of this machine, no GPU, and no proxy between the command and the mirror.
const env = { ...process.env, XDG_CACHE_HOME: at("cache"), CUDA_VISIBLE_DEVICES: "" };
for (const name of Object.keys(env))
  if (/^(VGG_|TORCH_HOME$)|^(https?|all|no)_proxy$/i.test(name)) delete env[name];

function expect(holds, what) {
  if (!holds) throw new Error(`Expected ${what}`);
}

/** Runs a shell command in the project to its end while the mirror answers, and shows its output. */
async function shell(line, more = {}) {
  console.log(`$ ${line}`);
  const child = spawn("sh", ["-c", line], { cwd: project, env: { ...env, ...more } });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"])
    child[name].setEncoding("utf8").on("data", (text) => {
      output[name] += text;
      process[name].write(text);
    });
  const [status] = await once(child, "close");
  return { status, ...output };
}

async function passes(line, more) {
  const result = await shell(line, more);
  expect(result.status === 0, `${line} to succeed but it ended with status ${result.status}`);
  return result.stdout;
}

/** README's code blocks of a language, in order. */
const blocksOf = (language) =>
  [...readme.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
    .filter(([, name]) => name === language)
    .map(([, , text]) => text);

/** README's commands for users, in order: the lines of its bash blocks, without the installation. */
function commands() {
  const lines = blocksOf("bash").flatMap((block) => block.trim().split("\n"));
  expect(lines[0] === "npm install vgg-cudnn", "README to begin with the installation");
  return lines.slice(1);
}

/** Packs the package and installs it. npm keeps its own settings here, because it downloads the dependencies. */
function install() {
  const npm = (cwd, ...args) =>
    execFileSync("npm", args, { cwd, stdio: ["ignore", "inherit", "inherit"] });
  npm(root, "run", "build");
  npm(root, "pack", "--silent", "--ignore-scripts", "--pack-destination", project);
  const { name, version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  writeFileSync(at("package.json"), '{ "private": true, "type": "module" }\n');
  npm(project, "install", "--silent", "--ignore-scripts", `./${name}-${version}.tgz`);
  for (const tool of ["cmake-js", "node-gyp"])
    expect(!existsSync(at(`node_modules/${tool}`)), `an installation without ${tool}`);
}

/** Makes a stand-in for vgg11's published weights, and a module that puts it into the table of known weights. */
async function makeWeights() {
  writeFileSync(
    at("save.js"),
    `import { Vgg } from "vgg-cudnn";
     const model = await Vgg.create("vgg11", { device: "cpu", seed: 1 });
     await model.save("random.safetensors");
     await model.dispose();`,
  );
  await passes("node save.js");
  await passes("npx vgg-cudnn convert random.safetensors random.pth");
  rmSync(at("random.safetensors"));
  const hash = createHash("sha256");
  await pipeline(createReadStream(at("random.pth")), hash);
  const hashPrefix = hash.digest("hex").slice(0, 8);
  const file = `vgg11-${hashPrefix}.pth`;
  renameSync(at("random.pth"), at(file));
  const entry = { file, hashPrefix, sizeMiB: statSync(at(file)).size / 2 ** 20 };
  const table = pathToFileURL(at("node_modules/vgg-cudnn/dist/vgg/known-weights.js"));
  writeFileSync(
    at("stand-in.js"),
    `import { weightsTable } from ${JSON.stringify(table)};
     weightsTable.vgg11 = { ...weightsTable.vgg11, ...${JSON.stringify(entry)} };`,
  );
  return file;
}

/** Serves one file of the project. @returns its address, the requested paths, and a function that closes it */
async function mirror(file) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    if (request.url !== `/models/${file}`) return response.writeHead(404).end();
    response.writeHead(200, { "content-length": statSync(at(file)).size, etag: '"1"' });
    createReadStream(at(file)).pipe(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}/models/`;
  return { url, asked, close: () => server.close() };
}

/** Checks the output of each of README's commands. */
const outputs = {
  check(text) {
    const [parameters, shape] = blocksOf("")[0].split("\n");
    const pattern = /^.+: cpu \(\d+ threads?, \w+\), float32$/;
    const lines = text.trimEnd().split("\n");
    expect(
      lines.length === 3 && lines[0] === parameters && lines[1] === shape && pattern.test(lines[2]),
      "the lines that README shows",
    );
  },
  build: (text) => expect(text.startsWith("built "), "the path of the addon"),
  classify(text) {
    const [image, ...classes] = text.trimEnd().split("\n");
    expect(image === "cat.jpg", "the name of the image");
    const pattern = /^ +\d+\.\d\d % {2}.+ \(\d+\)$/;
    expect(classes.length === 5 && classes.every((line) => pattern.test(line)), "five classes");
    expect(text === blocksOf("")[1], "the lines that README shows, of the same random weights");
  },
};

try {
  const lines = commands();
  install();
  const bare = await shell("npx vgg-cudnn check");
  expect(
    bare.status !== 0 && bare.stderr.includes("npx vgg-cudnn build"),
    "a package without an addon to name the command that builds it",
  );
  expect(readme.includes("`npx vgg-cudnn build`"), "README to name that command");
  outputs.build(await passes("npx vgg-cudnn build"));
  const script = await shell("cd node_modules/vgg-cudnn && node npm/install.mjs");
  expect(
    script.status === 0 && script.stdout + script.stderr === "",
    "an install script that does nothing if the addon loads",
  );
  const file = await makeWeights();
  copyFileSync(join(root, "test/golden/images/portrait.jpg"), at("cat.jpg"));
  const { url, asked, close } = await mirror(file);
  const standIn = {
    VGG_WEIGHTS_MIRROR: url,
    NODE_OPTIONS: `--import=${pathToFileURL(at("stand-in.js"))}`,
  };
  const printed = [];
  for (const line of lines) {
    const [, command] = /^npx vgg-cudnn ([a-z]+)/.exec(line) ?? [];
    expect(outputs[command], `a check of ${line} in .ci/packed.mjs`);
    printed.push(await passes(line, line.includes("DEFAULT") ? standIn : {}));
    outputs[command](printed.at(-1));
  }
  close();
  expect(asked.join() === `/models/${file}`, `one download but the mirror was asked for ${asked}`);
  // Checks README's sentence "The command downloads torchvision's weights once."
  const again = lines.find((line) => line.includes("DEFAULT"));
  const offline = await passes(again, { ...standIn, VGG_OFFLINE: "1" });
  expect(offline === printed[lines.indexOf(again)], "the same classes without the network");
} finally {
  rmSync(project, { recursive: true, force: true });
}
