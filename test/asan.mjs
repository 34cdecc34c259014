// `npm run test:asan` runs the suite and the loop of failing CUDA calls under AddressSanitizer and UndefinedBehaviorSanitizer.
import { spawnSync } from "node:child_process";

function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

const build = [
  "cmake-js",
  "compile",
  "--out",
  "build-asan",
  "--log-level",
  "warn",
  "--parallel",
  "4",
  "--CDVGG_SANITIZE=ON",
];
run("npx", build);
for (const target of ["core_test", "fake_cuda", "faults_test"])
  run("npx", [...build, "--target", target]);
// Fails every 61st call, which covers each kind of call. Failing every call takes an hour.
run("build-asan/faults_test", ["build-asan/fake-cuda", "61"]);
const library = spawnSync("g++", ["-print-file-name=libasan.so"], {
  encoding: "utf8",
}).stdout.trim();
// Excludes tests with NVIDIA's own libraries, which sanitizers cannot follow.
const native = ["test/addon/", "test/device/", "test/fake-gpu/"];
// The readers of checkpoints are TypeScript, and whole networks run operations that other tests run in more sizes.
const others = ["load*", "golden", "perceptual*"];
const all = [...native, ...others.flatMap((name) => ["--exclude", `test/device/${name}.test.ts`])];
const chosen = process.argv.length > 2 ? process.argv.slice(2) : all;
run("npx", ["vitest", "run", ...chosen], {
  LD_PRELOAD: library,
  VGG_ADDON: `${process.cwd()}/build-asan/Release/vgg_cudnn.node`,
  VGG_SANITIZED: "1",
  VGG_FAKE_CUDA: `${process.cwd()}/build-asan/fake-cuda`,
  // The suite includes allocations that must fail, and a process whose memory must not grow.
  ASAN_OPTIONS: "allocator_may_return_null=1:detect_leaks=1:quarantine_size_mb=4",
  LSAN_OPTIONS: `suppressions=${process.cwd()}/test/lsan.supp:print_suppressions=0`,
});
