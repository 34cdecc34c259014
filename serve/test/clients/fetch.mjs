// `npm run clients:fetch`: puts the clients of tools.mjs into .cache/clients. What is there in its version stays. It needs Python 3.11 or later with venv, and Go 1.21 or later.
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { folder, goTools, isThere, perfAnalyzer, requirements, setThere } from "./tools.mjs";

/** Runs a command to its end, and shows what it prints if it fails. @returns what it printed */
function run(command, args, { cwd = folder, env = {} } = {}) {
  const result = spawnSync(command, args, {
    ...{ cwd, encoding: "utf8", env: { ...process.env, ...env }, maxBuffer: 2 ** 26 },
  });
  if (result.error) throw new Error(`${command}: ${result.error.message}`);
  if (result.status === 0) return result.stdout;
  throw new Error(`${command} ${args.join(" ")}: ${result.stderr}${result.stdout}`);
}

function fetchPython() {
  rmSync(`${folder}venv`, { recursive: true, force: true });
  run("python3", ["-m", "venv", "venv"]);
  // The list is complete, so that nothing is resolved. Python compiles what is imported.
  const args = ["install", "-q", "--no-deps", "--no-compile", "-r", requirements];
  run("venv/bin/python", ["-m", "pip", ...args]);
}

/** Compiles a Go program, with the caches of the machine. */
function fetchGo(name) {
  run("go", ["install", "-ldflags=-s -w", goTools[name]], { env: { GOBIN: `${folder}bin` } });
}

/** The wheel is for a later glibc than Debian 12 has, so that pip has to be told to take it. */
function fetchPerfAnalyzer() {
  const place = `${folder}perf_analyzer`;
  rmSync(place, { recursive: true, force: true });
  const platform = ["--platform", "manylinux_2_38_x86_64", "--python-version", "3.12"];
  const only = ["--only-binary=:all:", "--no-deps", "--target", place];
  const wanted = [...platform, ...only, `perf-analyzer==${perfAnalyzer}`];
  run("venv/bin/python", ["-m", "pip", "install", "-q", ...wanted]);
  const program = `${place}/perf_analyzer/bin/perf_analyzer`;
  chmodSync(program, 0o755);
  const isNative = spawnSync(program, ["--version"]).status === 0;
  const loader = isNative ? "" : `${debian13(place)} `;
  writeFileSync(`${folder}bin/perf_analyzer`, `#!/bin/sh\nexec ${loader}"${program}" "$@"\n`);
  chmodSync(`${folder}bin/perf_analyzer`, 0o755);
  run("bin/perf_analyzer", ["--version"]);
}

/** Unpacks the loader and the libraries of Debian 13. apt checks them with Debian's keys. @returns the command that runs a program with them */
function debian13(place) {
  const apt = `${place}/apt`;
  for (const name of ["lists/partial", "archives/partial", "state"])
    mkdirSync(`${apt}/${name}`, { recursive: true });
  const format = "--format=$(REPO_URI)";
  const known = run("apt-get", ["indextargets", format, "Origin: Debian", "Label: Debian"]);
  const mirror = known.split("\n")[0] || "http://deb.debian.org/debian";
  const keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
  writeFileSync(`${apt}/sources.list`, `deb [signed-by=${keys}] ${mirror} trixie main\n`);
  const settings = {
    "Dir::State": `${apt}/state`,
    "Dir::State::Lists": `${apt}/lists`,
    "Dir::State::status": "/dev/null",
    "Dir::Cache": apt,
    "Dir::Etc::sourcelist": `${apt}/sources.list`,
    "Dir::Etc::sourceparts": "-",
    "Acquire::Languages": "none",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    "APT::Sandbox::User": "",
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";\n`);
  writeFileSync(`${apt}/apt.conf`, lines.join(""));
  const options = { cwd: apt, env: { APT_CONFIG: `${apt}/apt.conf` } };
  run("apt-get", ["update", "-q"], options);
  const names = ["libc6", "libstdc++6", "libgcc-s1", "libssl3t64", "zlib1g", "libzstd1"];
  run("apt-get", ["download", "-q", ...names], options);
  for (const file of readdirSync(apt).filter((name) => name.endsWith(".deb")))
    run("dpkg-deb", ["-x", `${apt}/${file}`, `${place}/debian13`]);
  rmSync(apt, { recursive: true });
  const libraries = `${place}/debian13/usr/lib/x86_64-linux-gnu`;
  return `"${libraries}/ld-linux-x86-64.so.2" --library-path "${libraries}"`;
}

mkdirSync(`${folder}bin`, { recursive: true });
const fetches = {
  python: fetchPython,
  perf_analyzer: fetchPerfAnalyzer,
  vegeta: () => fetchGo("vegeta"),
  grpcurl: () => fetchGo("grpcurl"),
};
for (const [name, fetchPart] of Object.entries(fetches)) {
  if (isThere(name)) continue;
  const start = performance.now();
  try {
    fetchPart();
    setThere(name);
    console.log(`${name}: ${Math.round((performance.now() - start) / 1000)} s`);
  } catch (error) {
    process.exitCode = 1;
    console.error(`${name}: ${error.message}`);
  }
}
