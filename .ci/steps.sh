# shellcheck shell=bash
# The steps of .ci/run, in order: NAME | the steps that it needs first | COMMAND | what it does.
# docs/ci.md lists them with their times.
steps=$(
  cat <<'END'
setup        |                  | readme_line 1               | README's set-up of a clone
test         | setup            | readme_test                 | README's test command, the whole suite
lint         | setup            | lint                        | Biome, types, phrases, docstrings of the public names
realms       | setup            | npm run test:realms         | a part of the suite in other realms
tools        |                  | tools                       | clang-format and clang-tidy of fixed versions
clang-format | tools            | clang_format                | the format of the native code
clang-tidy   | setup tools      | clang_tidy                  | static analysis of the native code
packed       | setup            | node .ci/packed.mjs         | README's commands with the package as npm publishes it
node-gyp     | setup            | gyp                         | the addon built by node-gyp
arm64        |                  | arm64                       | the core's tests under emulation
order        | setup            | order                       | 5,000 random sequences of calls
clang        | setup            | clang                       | the native code built by Clang 14, and the core's tests
prebuilt     | setup            | prebuilt                    | prebuilt addons built and inspected, and the tests with one
platforms    | setup prebuilt   | platforms                   | the prebuilt addons of some platforms, run and compared
hostile      | setup            | npm run test:hostile        | a part of the suite with a hostile Object.prototype
kernels      | setup            | npm run test:kernels        | our CUDA kernels against plain loops
fake-cuda    | setup            | npm run test:fake-cuda      | the suite of the back ends on the fake GPU
faults       | setup            | npm run test:faults -- 11   | every eleventh injected fault
cuda-fetch   | setup            | npm run cuda:fetch          | NVIDIA's libraries by vgg cuda install
real-cuda    | setup cuda-fetch | npm run test:real-cuda      | NVIDIA's libraries take every graph and kernel
gpu-bundle   | setup            | gpu_bundle                  | the archive for a GPU server, run with the fake GPU
parity       | setup            | npm run test:parity         | real images against torchvision's recorded results
recipes      | setup            | recipes                     | the recipes with servers, Bun, Deno, esbuild and Next.js
serve-tools  | setup            | serve_tools                 | the server's page, worker and manifests with Chromium, Redis and schemas
clients      | setup            | clients                     | the server with clients of Triton, KServe and the Open Inference Protocol
registry     | setup            | npm run test:registry       | the published packages, installed by each package manager
bench-peers  |                  | npm ci --prefix bench --ignore-scripts | the engines that the benchmark compares with
bench-smoke  | setup bench-peers | npm run bench -- --smoke   | the answers of all engines compared
sanitizers   | setup            | npm run test:asan           | the native tests under AddressSanitizer and UndefinedBehaviorSanitizer
END
)

# What a whole run writes in the clone, and the largest temporary files of a step.
# shellcheck disable=SC2034 # .ci/run reads it
disk_mib=9000

# The prebuilt addons to build and run besides linux-x64-gnu, such as `VGG_PLATFORMS="linux-x64-musl win32-x64"`. Each takes five to
# ten minutes, so that a whole run has none; the workflow has all that a Linux machine can run.
other_platforms=${VGG_PLATFORMS:-}

# Whether an earlier run has left a step's results, so that it need not run again for the steps that need it.
has_setup() { [ -d node_modules ] && [ -x dist/cli/main.js ] && [ -e build/Release/vgg_cudnn.node ]; }
has_prebuilt() {
  for each in linux-x64-gnu $other_platforms; do [ -e "build/prebuilt/$each/vgg_cudnn.node" ] || return; done
}
has_bench_peers() { [ bench/node_modules/.package-lock.json -nt bench/package-lock.json ]; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# debian COMMAND PACKAGE...: installs packages unless the command, or the file of this path, is there.
debian() {
  command -v "$1" >/dev/null || [ -e "$1" ] ||
    { as_root apt-get update -q && as_root apt-get install -qy --no-install-recommends "${@:2}"; } >/dev/null
}

# debian_knows PACKAGE: fetches apt's list of packages unless apt knows where to download the package.
debian_knows() {
  apt-get download --print-uris "$1" >/dev/null 2>&1 || as_root apt-get update -q >/dev/null
}

# readme_line N: runs line N of README's first sh block unchanged.
readme_line() {
  bash -c "$(awk '/^```sh$/ { inside = 1; next } /^```$/ && inside { exit } inside' README.md | sed -n "${1}p")"
}

# What needs the server's tools runs in `serve-tools`, once.
readme_test() {
  debian script bsdutils # a terminal for the tests of the command line
  VGG_WITHOUT_TOOLS=1 readme_line 2
}

lint() {
  npm run lint || return
  [ typedoc/node_modules/.package-lock.json -nt typedoc/package-lock.json ] || npm ci --prefix typedoc --ignore-scripts || return
  npm run docs:check
}

tools() {
  [ -x .cache/tools/bin/clang-tidy ] && return
  python3 -m venv .cache/tools && .cache/tools/bin/pip install -q clang-format==19.1.7 clang-tidy==19.1.0
}

clang_format() {
  git ls-files -z '*.cc' '*.h' '*.cu' | xargs -0 .cache/tools/bin/clang-format --dry-run --Werror
}

# clang-tidy needs build/compile_commands.json and the generated sources. It cannot read other systems' headers.
clang_tidy() {
  npm run build:addon &&
    git ls-files -z 'native/*.cc' ':!native/*_macos.cc' ':!native/*_windows.cc' | xargs -0 -n 8 -P 2 .cache/tools/bin/clang-tidy -p build --quiet --warnings-as-errors='*' \
      2>/dev/null
}

# Builds the addon through binding.gyp. `configure build` keeps the objects of `setup`, so that only the link runs again.
gyp() {
  rm -f build/Release/vgg_cudnn.node
  npx --yes node-gyp configure build --jobs 2 && node dist/cli/main.js doctor
}

# Compiles the core for arm64 and runs its tests under emulation.
arm64() {
  debian aarch64-linux-gnu-g++ g++-aarch64-linux-gnu && debian qemu-aarch64 qemu-user || return
  cmake -S . -B build-arm64 -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ >/dev/null && cmake --build build-arm64 --target core_test -j 2 >/dev/null &&
    qemu-aarch64 -L /usr/aarch64-linux-gnu build-arm64/core_test
}

order() {
  VGG_SEQUENCES=5000 npm run test:order
}

# Builds the addon and its core with the oldest Clang that README offers, without warnings. `prebuilt` runs the tests with a newer one.
clang() {
  debian clang++-14 clang-14 || return
  local build=(npx cmake-js compile --out build-clang --log-level warn --parallel 4 --cc clang-14 --cxx clang++-14 --CDCMAKE_CXX_FLAGS=-Werror)
  "${build[@]}" && "${build[@]}" --target core_test && build-clang/core_test
}

# Builds and inspects these prebuilt addons, as many at once as there are processors. Runs with the one for this machine the tests of the addon and the CPU,
# but not the tests of what is TypeScript: readers of checkpoints and of image files.
prebuilt() {
  # shellcheck disable=SC2086 # one name a word
  debian llvm-readobj llvm && npm run build:prebuilt linux-x64-gnu $other_platforms || return
  npm run build && npx vitest run test/library/prebuilt || return
  VGG_ADDON=$PWD/build/prebuilt/linux-x64-gnu/vgg_cudnn.node npx vitest run --project addon --project device \
    --exclude 'test/device/load*.test.ts' --exclude 'test/addon/image-*.test.ts'
}

# Runs the prebuilt addons of all these platforms.
platforms() {
  debian llvm-readobj llvm || return
  [ -z "$other_platforms" ] || { debian wine wine wine64 && debian qemu-aarch64 qemu-user &&
    debian /usr/aarch64-linux-gnu/lib/libstdc++.so.6 libc6-arm64-cross libstdc++6-arm64-cross && debian_knows musl; } || return
  # shellcheck disable=SC2086 # one name a word
  npm run test:prebuilt linux-x64-gnu $other_platforms
}

# The tools of the clients' tests must be there.
clients() {
  debian curl curl && debian go golang-go && npm run clients:fetch && VGG_REQUIRE_TOOLS=1 npm run test:clients
}

recipes() {
  debian nats-server nats-server && npm run recipes:fetch && VGG_REQUIRE_TOOLS=1 npm run test:recipes
}

# Runs the tests of the server that `test` skips where their tools are absent.
serve_tools() {
  debian chromium chromium && debian redis-server redis-server && debian go golang-go &&
    npm run build && npm run deploy:fetch || return
  VGG_REQUIRE_TOOLS=1 npx vitest run serve/test/page serve/test/worker serve/test/deploy
}

# Runs the archive for GPU servers as far as the fake libraries allow: without npm, network or a node in PATH.
gpu_bundle() {
  local tools folder status
  tools=$(mktemp -d) && folder=$(mktemp -d) || return
  for tool in bash sh env cat cp mv rm mkdir mktemp ls ln tar xz date sleep timeout kill ps grep sed awk head tail tee tr cut wc sort \
    dirname basename readlink realpath uname python3 g++ nproc getconf ldd; do
    ln -s "$(command -v "$tool")" "$tools/$tool" 2>/dev/null
  done
  npm run build:fake-cuda && npm run gpu:bundle && cp build/gpu-bundle/* "$folder" &&
    (cd "$folder" && env -i PATH="$tools" HOME="$HOME" VGG_CUDA_PATH="$OLDPWD/build/fake-cuda" bash accept.sh --quick)
  status=$?
  [ "$status" -eq 0 ] || tail -50 "$folder/results/log.txt"
  rm -rf "$tools" "$folder"
  return "$status"
}
