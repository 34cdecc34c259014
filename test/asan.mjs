// `npm run test:asan`: the suite, and the loop of failing CUDA calls, built under AddressSanitizer and UndefinedBehaviorSanitizer.
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
// Every 61st call: each kind of call is among them, and all of them take an hour here.
run("build-asan/faults_test", ["build-asan/fake-cuda", "61"]);
const library = spawnSync("g++", ["-print-file-name=libasan.so"], {
  encoding: "utf8",
}).stdout.trim();
// None of NVIDIA's own libraries, which the sanitizers could not follow.
const native = ["test/addon/", "test/device/", "test/fake-gpu/"];
const chosen = process.argv.length > 2 ? process.argv.slice(2) : native;
run("npx", ["vitest", "run", ...chosen], {
  LD_PRELOAD: library,
  VGG_ADDON: `${process.cwd()}/build-asan/Release/vgg_cudnn.node`,
  VGG_SANITIZED: "1",
  VGG_FAKE_CUDA: `${process.cwd()}/build-asan/fake-cuda`,
  // Allocations that cannot be met are part of the suite, and so is a process that does not grow.
  ASAN_OPTIONS: "allocator_may_return_null=1:detect_leaks=1:quarantine_size_mb=4",
  LSAN_OPTIONS: `suppressions=${process.cwd()}/test/lsan.supp:print_suppressions=0`,
});
