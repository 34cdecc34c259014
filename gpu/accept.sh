#!/usr/bin/env bash
# Checks and measures the package on this machine's GPU, in independent steps, and writes the results.
# Usage: bash accept.sh [OPTION...] [STEP...]. `bash accept.sh --help` lists the options and the steps; docs/gpu.md describes them.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
all=(doctor abi logits forms choices bench sanitizer cores suite)
steps=() bench_options=()
quick='' out=$PWD/results total=520 step_timeout='' bench_seconds=150 suite_workers='' wanted_python=''

print_help() {
  cat <<HELP
Usage: bash accept.sh [OPTION...] [STEP...]

Checks and measures the package on this machine's GPU. Without a STEP it runs all steps in this order:
  ${all[*]}

  --quick               small images, few batches and two files of the suite, for a machine where a CPU plays the GPU
  --out DIR             the folder of the results (default ./results)
  --total-timeout S     the maximum seconds of all steps together (default 520)
  --step-timeout S      the maximum seconds of each step (default 60 to 300, depending on the step)
  --bench-seconds S     the seconds that the step bench measures (default 150, with --quick 30)
  --bench-only LIST     the precisions and batches that bench measures, such as float16:1,tf32:256 (default all)
  --bench-peers LIST    the libraries that bench compares with (default PyTorch,JAX; "" for no comparison)
  --bench-compile LIST  the precisions and batches that bench measures with torch.compile
                        (default float16:1,float16:256,float16:8; "" for no compilation)
  --suite-workers N     the test files that run at the same time (default 4 on 8 or more cores, else 1)
  --python PATH         the Python with PyTorch or JAX (default the first python3 with torch)
  --help                prints this text

The environment variable VGG_CUDA_PATH holds folders with NVIDIA's libraries, separated by colons.
The exit status is 0 if no step failed, 1 if a step failed, 2 if an argument is refused.
HELP
}

refuse() {
  printf '%s\n' "$1" >&2
  exit 2
}

# Sets the option $1 to $2, or refuses that value.
set_option() {
  local number='^[1-9][0-9]{0,8}$' batch='(float32|tf32|float16|bfloat16):[1-9][0-9]{0,8}' peer='(PyTorch|JAX)'
  local pattern=. expected="a value"
  case $1 in
    --*-timeout | --bench-seconds | --suite-workers) pattern=$number expected="a whole number from 1 to 999999999" ;;
    --bench-only) pattern="^$batch(,$batch)*$" expected="precisions and batches such as float16:1,tf32:256" ;;
    --bench-compile) pattern="^($batch(,$batch)*)?$" expected="precisions and batches such as float16:1,tf32:256" ;;
    --bench-peers) pattern="^($peer(,$peer)*)?$" expected="PyTorch, JAX or PyTorch,JAX" ;;
  esac
  [[ $2 =~ $pattern ]] || refuse "Expected $expected for $1 but received \"$2\""
  case $1 in
    --out) out=$2 ;;
    --total-timeout) total=$2 ;;
    --step-timeout) step_timeout=$2 ;;
    --bench-seconds) bench_seconds=$2 bench_options+=(--seconds "$2") ;;
    --bench-*) bench_options+=("--${1#--bench-}" "$2") ;;
    --suite-workers) suite_workers=$2 ;;
    --python) wanted_python=$(type -P -- "$2") || refuse "Expected a program for --python but received \"$2\"" ;;
  esac
}

read_arguments() {
  while [ $# -gt 0 ]; do
    case ${1%%=*} in
      --out | --total-timeout | --step-timeout | --bench-seconds | --bench-only | --bench-peers | --bench-compile | --suite-workers | --python)
        if [[ $1 == *=* ]]; then
          set_option "${1%%=*}" "${1#*=}"
        else
          [ $# -gt 1 ] && [[ $2 != --* ]] || refuse "Expected a value after $1"
          set_option "$1" "$2"
          shift
        fi
        ;;
      *)
        case $1 in
          --quick) quick=1 ;;
          --help) print_help && exit ;;
          -*) refuse "Expected an option that --help lists but received \"$1\"" ;;
          *)
            [[ " ${all[*]} " == *" $1 "* ]] || refuse "Expected steps of ${all[*]} but received \"$1\""
            steps+=("$1")
            ;;
        esac
        ;;
    esac
    shift
  done
  [ ${#steps[@]} -gt 0 ] || steps=("${all[@]}")
}

read_arguments "$@"
mkdir -p -- "$out" || exit 2
out=$(cd -- "$out" && pwd)
log=$out/log.txt
: >"$log"
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
export NO_COLOR=1
# Ignores earlier measurements and compiled code, and leaves nothing behind.
export XDG_CACHE_HOME=$work/cache TORCHINDUCTOR_CACHE_DIR=$work/inductor TRITON_CACHE_DIR=$work/triton
skipped=77 # a step's exit status if the machine lacks what it needs

say() { printf '%s\n' "$*" | tee -a "$log"; }

# Prints a line as a JSON string.
quoted() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  printf '"%s"' "$(tr -d '\000-\037' <<<"$text")"
}

# Uses the tree around this script (in a checkout), or unpacks the archive beside it.
unpack() {
  local archive=$here/vgg-cudnn-gpu.tar.xz
  if [ ! -e "$archive" ]; then
    root=$(dirname "$here")
    node=$(command -v node)
    return
  fi
  root=$work/vgg-cudnn
  node=$root/bin/node
  mkdir -p "$root"
  tar -xJf "$archive" -C "$root" 2>>"$log" ||
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$archive" "$root" 2>>"$log" || {
    say "Expected tar with xz, or python3, to unpack $archive"
    exit 2
  }
  # If this machine's libstdc++ is too old for the addon, use the bundled one.
  "$node" "$root/dist/cli/main.js" doctor --json >/dev/null 2>&1 || export LD_LIBRARY_PATH=$root/lib-compat${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export PATH=$root/bin:$PATH
}

# Finds a python3 with torch, or else any python3, or takes the one of --python. Sets python and has_torch.
find_python() {
  python='' has_torch=0
  local candidate
  local candidates=(python3 /usr/bin/python3 /usr/local/bin/python3 /opt/conda/bin/python3)
  [ -z "$wanted_python" ] || candidates=("$wanted_python")
  for candidate in "${candidates[@]}"; do
    command -v "$candidate" >/dev/null || continue
    python=${python:-$candidate}
    if "$candidate" -c 'import torch' 2>/dev/null; then
      python=$candidate has_torch=1
      return
    fi
  done
}

available() {
  "$node" "$root/dist/cli/main.js" doctor --json 2>/dev/null | grep -q '"cuda":{"available":true'
}

# If NVIDIA's libraries are not found, looks beside python3's packages and where drivers are mounted.
find_libraries() {
  available && return
  local folders
  folders=${python:+$("$python" - <<'PYTHON' 2>/dev/null
import os, site, sys
paths = [*sys.path, *site.getsitepackages(), site.getusersitepackages()]
print(":".join(dict.fromkeys(p for p in paths if os.path.isdir(os.path.join(p, "nvidia")))))
PYTHON
)}
  for folder in /usr/local/nvidia /usr/lib/wsl; do
    [ -d "$folder" ] && folders=${folders:+$folders:}$folder
  done
  [ -z "$folders" ] || export VGG_CUDA_PATH=${VGG_CUDA_PATH:+$VGG_CUDA_PATH:}$folders
}

# A step reports its result in its last line, its status (0, 77 if skipped, else failed) and $work/STEP.json.

step_doctor() {
  "$node" "$root/dist/cli/main.js" doctor --json >"$work/doctor.json" || return
  "$node" "$root/dist/cli/main.js" doctor
  nvidia-smi 2>/dev/null
  echo "VGG_CUDA_PATH=${VGG_CUDA_PATH:-} python: ${python:-none} torch: $has_torch"
  "$node" "$root/gpu/summarize.mjs" doctor "$work/doctor.json"
}

# Prints the folders with NVIDIA's headers, beginning with VGG_CUDA_PATH and CUDA_PATH.
include_folders() {
  local folder nvcc header
  nvcc=$(command -v nvcc)
  {
    tr ':' '\n' <<<"${VGG_CUDA_PATH:-}:${CUDA_PATH:-}:${CUDA_HOME:-}:${nvcc:+$(dirname "$(dirname "$(readlink -f "$nvcc")")")}"
    [ -n "$python" ] && "$python" -c 'import site, sys; print(*sys.path, *site.getsitepackages(), sep="\n")' 2>/dev/null
    printf '%s\n' /usr/local/cuda /usr
  } | while IFS= read -r folder; do
    [ -n "$folder" ] || continue
    for header in cuda cudnn cublasLt nvrtc; do
      [ -e "$folder/include/$header.h" ] && echo "$folder/include"
    done
    ls -d "$folder"/nvidia/*/include 2>/dev/null
  done | awk '!seen[$0]++'
}

step_abi() {
  local compiler header folder flags=()
  while IFS= read -r folder; do
    # Searched after the compiler's own folders. /usr/include among the others would hide them.
    [ "$folder" = /usr/include ] || flags+=(-idirafter "$folder")
  done < <(include_folders)
  for compiler in g++ clang++ ''; do
    command -v "$compiler" >/dev/null && break
  done
  [ -n "$compiler" ] || { echo "no g++ or clang++ here"; return $skipped; }
  for header in cuda cudnn cublasLt nvrtc; do
    "$compiler" "${flags[@]}" -E -x c++ - <<<"#include <$header.h>" >/dev/null 2>"$work/header" && continue
    echo "$header.h cannot be included: $(grep -m 1 'error' "$work/header")"
    return $skipped
  done
  printf '%s\n' "${flags[@]}"
  "$compiler" -std=c++20 -fsyntax-only -DVGG_NVIDIA_HEADERS -D__CUDA_API_VERSION_INTERNAL -I "$root/native" \
    "${flags[@]}" "$root/test/real-cuda/abi.cc" || { echo "declarations differ from the headers"; return 1; }
  echo "every declaration is that of the headers ($(printf '%s\n' '#include <cuda.h>' '#include <cudnn.h>' \
    'CUDA CUDA_VERSION cuDNN CUDNN_MAJOR.CUDNN_MINOR.CUDNN_PATCHLEVEL' |
    "$compiler" "${flags[@]}" -E -P -x c++ - | tail -1 | tr -d ' ' | sed 's/^CUDA/CUDA /; s/cuDNN/, cuDNN /'))"
}

step_logits() {
  local folder=$work/logits
  mkdir -p "$folder"
  "$node" "$root/gpu/logits.mjs" ${quick:+--quick} "$folder" "$work/logits.json"
  local status=$?
  [ "$has_torch" = 1 ] && [ -e "$folder/runs.json" ] || {
    [ $status -eq 0 ] && echo "within their bars against our CPU back end; python3 has no torch to compare with"
    return $status
  }
  "$python" "$root/gpu/logits.py" "$folder" "$work/logits.json" && [ $status -eq 0 ]
}

step_forms() {
  mkdir -p "$work/forms"
  "$node" "$root/gpu/forms.mjs" ${quick:+--quick} "$work/forms" "$work/forms.json"
}

step_choices() {
  "$node" "$root/gpu/choices.mjs" ${quick:+--quick} "$work/choices.json"
}

# The arguments are options of bench.mjs.
step_bench() {
  local others=()
  [ -n "$python" ] && "$python" -c 'import importlib.util as u, sys; sys.exit(not (u.find_spec("torch") or u.find_spec("jax")))' &&
    others=("$python")
  "$node" "$root/gpu/bench.mjs" ${quick:+--quick} --results "$out" "$@" "$work/bench.json" "${others[@]}"
}

step_sanitizer() {
  local tool
  for tool in compute-sanitizer /usr/local/cuda*/bin/compute-sanitizer ''; do
    command -v "$tool" >/dev/null && break
  done
  [ -n "$tool" ] || { echo "no compute-sanitizer here"; return $skipped; }
  "$tool" --tool memcheck --error-exitcode 9 "$node" "$root/gpu/forward.mjs" >"$work/sanitizer.log" 2>&1
  local status=$?
  head -c 100000 "$work/sanitizer.log"
  if ! grep -q 'ERROR SUMMARY' "$work/sanitizer.log"; then
    echo "compute-sanitizer does not work on this machine: $(grep -v '^$' "$work/sanitizer.log" | tail -1)"
    return $skipped
  fi
  echo "$(grep 'ERROR SUMMARY' "$work/sanitizer.log" | tail -1 | sed 's/^=* *//'), exit status $status"
  return $status
}

step_cores() {
  local small=()
  [ -n "$quick" ] && small=(--threads 1,2 --batch 1 --rounds 1)
  "$node" "$root/bench/cores.mjs" --json "$work/cores.json" "${small[@]}"
}

step_suite() {
  local workers=$suite_workers files=()
  [ -n "$workers" ] || workers=$(($(nproc) < 8 ? 1 : 4))
  [ -n "$quick" ] && files=(test/device/device.test.ts test/library/topology.test.ts)
  cd "$root" || return
  VGG_REQUIRE_DEVICES=cuda "$node" node_modules/vitest/vitest.mjs run --maxWorkers "$workers" \
    --reporter=default --reporter=json --outputFile.json="$work/vitest.json" "${files[@]}"
  local status=$?
  "$node" "$root/gpu/summarize.mjs" suite "$work/vitest.json" "$work/suite.json" || echo "the suite did not get to its end"
  return $status
}

# The maximum seconds of a step: its limit, or the time that is left.
limit_of() {
  case $1 in
    doctor | abi | sanitizer) echo 60 ;;
    logits | forms | choices | cores) echo 150 ;;
    bench) echo $((bench_seconds + 30)) ;;
    suite) echo 300 ;;
  esac
}

entries=()
write_results() {
  local IFS=,
  printf '{"host":%s,"date":"%s","quick":%s,"secondsTotal":%d,"steps":[%s]}\n' "$(quoted "$(uname -a)")" \
    "$(date -u +%FT%TZ)" "$([ -n "$quick" ] && echo true || echo false)" "$SECONDS" "${entries[*]}" \
    >"$out/results.json.part"
  mv "$out/results.json.part" "$out/results.json"
}

run_step() {
  local step=$1 started=$SECONDS limit left status verdict line options=()
  limit=${step_timeout:-$(limit_of "$step")}
  left=$((total - SECONDS))
  [ "$limit" -gt "$left" ] && limit=$left
  say "=== $step"
  if [ "$limit" -lt 5 ]; then
    status=$skipped
    line="the time for all steps was over"
  else
    [ "$step" = bench ] && options=("${bench_options[@]}")
    timeout -k 10 "$limit" bash -c "step_$step \"\$@\"" "$step" "${options[@]}" >"$work/$step.out" 2>&1
    status=$?
    cat "$work/$step.out" >>"$log"
    line=$(grep -v '^[[:space:]]*$' "$work/$step.out" | tail -1)
    [ $status -eq 124 ] || [ $status -eq 137 ] && line="stopped after $limit s; its last line: $line"
  fi
  case $status in
    0) verdict=passed ;;
    "$skipped") verdict=skipped ;;
    *) verdict=failed failures=$((failures + 1)) ;;
  esac
  local details=null
  [ -s "$work/$step.json" ] && details=$(cat "$work/$step.json")
  entries+=("{\"step\":\"$step\",\"status\":\"$verdict\",\"seconds\":$((SECONDS - started)),\"summary\":$(quoted "$line"),\"details\":$details}")
  printf '%-8s %-10s %4d s  %s\n' "$verdict" "$step" $((SECONDS - started)) "$line" | tee -a "$out/summary.txt" "$log"
  write_results
}

failures=0
: >"$out/summary.txt"
unpack
[ -n "$node" ] || { say "Expected node in PATH"; exit 2; }
find_python
find_libraries
export root node python has_torch work out skipped quick suite_workers
for name in include_folders $(printf 'step_%s ' "${all[@]}"); do export -f "${name?}"; done
for step in "${steps[@]}"; do run_step "$step"; done
say "$failures of ${#steps[@]} steps failed; $out holds summary.txt, results.json and log.txt"
[ "$failures" -eq 0 ]
