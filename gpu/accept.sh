#!/usr/bin/env bash
# Checks and measures the package on this machine's GPU, in independent steps, and writes the results.
# Usage: bash accept.sh [STEP...]; the steps are doctor abi logits forms choices bench sanitizer cores suite. See docs/gpu.md.
# Reads OUT (the folder of results, ./results), VGG_ACCEPT_QUICK, VGG_STEP_TIMEOUT and VGG_TOTAL_TIMEOUT (seconds), VGG_PYTHON,
# VGG_SUITE_WORKERS, VGG_BENCH_SECONDS, VGG_BENCH_ONLY, VGG_BENCH_PEERS, VGG_BENCH_COMPILE.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${OUT:-$PWD/results}
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
log=$out/log.txt
: >"$log"
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
export NO_COLOR=1 VGG_ACCEPT_QUICK=${VGG_ACCEPT_QUICK:-0}
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

# Finds a python3 with torch, or else any python3. Sets python and has_torch.
find_python() {
  python='' has_torch=0
  local candidate
  for candidate in ${VGG_PYTHON:-python3 /usr/bin/python3 /usr/local/bin/python3 /opt/conda/bin/python3}; do
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
  "$node" "$root/gpu/logits.mjs" "$folder" "$work/logits.json"
  local status=$?
  [ "$has_torch" = 1 ] && [ -e "$folder/runs.json" ] || {
    [ $status -eq 0 ] && echo "within their bars against our CPU back end; python3 has no torch to compare with"
    return $status
  }
  "$python" "$root/gpu/logits.py" "$folder" "$work/logits.json" && [ $status -eq 0 ]
}

step_forms() {
  mkdir -p "$work/forms"
  "$node" "$root/gpu/forms.mjs" "$work/forms" "$work/forms.json"
}

step_choices() {
  "$node" "$root/gpu/choices.mjs" "$work/choices.json"
}

step_bench() {
  local others=()
  [ -n "$python" ] && "$python" -c 'import importlib.util as u, sys; sys.exit(not (u.find_spec("torch") or u.find_spec("jax")))' &&
    others=("$python")
  VGG_BENCH_RESULTS=$out "$node" "$root/gpu/bench.mjs" "$work/bench.json" "${others[@]}"
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
  local quick=()
  [ "$VGG_ACCEPT_QUICK" = 1 ] && quick=(--threads 1,2 --batch 1 --rounds 1)
  "$node" "$root/bench/cores.mjs" --json "$work/cores.json" "${quick[@]}"
}

step_suite() {
  local workers=${VGG_SUITE_WORKERS:-} files=()
  [ -n "$workers" ] || workers=$(($(nproc) < 8 ? 1 : 4))
  [ "$VGG_ACCEPT_QUICK" = 1 ] && files=(test/device/device.test.ts test/library/topology.test.ts)
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
    bench) echo $((${VGG_BENCH_SECONDS:-150} + 30)) ;;
    suite) echo 300 ;;
  esac
}

entries=()
write_results() {
  local IFS=,
  printf '{"host":%s,"date":"%s","quick":%s,"secondsTotal":%d,"steps":[%s]}\n' "$(quoted "$(uname -a)")" \
    "$(date -u +%FT%TZ)" "$([ "$VGG_ACCEPT_QUICK" = 1 ] && echo true || echo false)" "$SECONDS" "${entries[*]}" \
    >"$out/results.json.part"
  mv "$out/results.json.part" "$out/results.json"
}

run_step() {
  local step=$1 started=$SECONDS limit left status verdict line
  limit=${VGG_STEP_TIMEOUT:-$(limit_of "$step")}
  left=$((total - SECONDS))
  [ "$limit" -gt "$left" ] && limit=$left
  say "=== $step"
  if [ "$limit" -lt 5 ]; then
    status=$skipped
    line="the time for all steps was over"
  else
    timeout -k 10 "$limit" bash -c "step_$step" >"$work/$step.out" 2>&1
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

all=(doctor abi logits forms choices bench sanitizer cores suite)
steps=("$@")
[ $# -gt 0 ] || steps=("${all[@]}")
for step in "${steps[@]}"; do
  [[ " ${all[*]} " == *" $step "* ]] || {
    echo "Expected steps of ${all[*]} but received $step" >&2
    exit 2
  }
done
total=${VGG_TOTAL_TIMEOUT:-520}
failures=0
: >"$out/summary.txt"
unpack
[ -n "$node" ] || { say "Expected node in PATH"; exit 2; }
find_python
find_libraries
export root node python has_torch work out skipped
for name in include_folders $(printf 'step_%s ' "${all[@]}"); do export -f "${name?}"; done
for step in "${steps[@]}"; do run_step "$step"; done
say "$failures of ${#steps[@]} steps failed; $out holds summary.txt, results.json and log.txt"
[ "$failures" -eq 0 ]
