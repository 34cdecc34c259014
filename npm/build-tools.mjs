// Finds what a build of the addon needs: CMake, a C++20 compiler, and Ninja or Make. It says what is missing and how to install it.
// It imports nothing but Node's modules, because it runs before anything is built.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";

/** Why the addon cannot be built, and what to do. */
export class BuildError extends Error {
  name = "BuildError";
}

const leastCmake = [3, 18];
const compilers = "GCC ≥ 11 or Clang ≥ 14";

/** What only a compiler that builds the addon compiles: its version, C++20 and the library's C++20 headers. */
const program = `
#if defined(_WIN32) && !(defined(__clang__) && defined(__MINGW32__))
#error On Windows, Clang of llvm-mingw
#elif defined(__clang__) && __clang_major__ < 14
#error Clang 14
#elif !defined(__clang__) && defined(__GNUC__) && __GNUC__ < 11
#error GCC 11
#endif
#include <bit>
#include <compare>
#include <concepts>
#include <filesystem>
#include <numbers>
#include <span>
template <std::integral T> constexpr int ones(T x) { return std::popcount(std::make_unsigned_t<T>(x)); }
int main(int argc, char** argv) { return ones(3) == int(std::span(argv, 1).size() + std::numbers::pi > 4.0); }
`;

/** The packages' names by the system's `ID` or `ID_LIKE` in os-release. */
const commands = {
  debian: "apt install cmake g++ make",
  ubuntu: "apt install cmake g++ make",
  fedora: "dnf install cmake gcc-c++ make",
  rhel: "dnf install cmake gcc-c++ make",
  suse: "zypper install cmake gcc-c++ make",
  alpine: "apk add cmake g++ make",
  arch: "pacman -S cmake gcc make",
};

/** The command that installs the tools on this system. */
export function howToInstall(platform = process.platform, release = osRelease()) {
  if (platform === "darwin")
    return "install the tools with: xcode-select --install && brew install cmake";
  if (platform === "win32")
    return "install CMake, Ninja and llvm-mingw (https://github.com/mstorsjo/llvm-mingw) and put them into PATH";
  const ids = [...release.matchAll(/^ID(?:_LIKE)?="?([^"\n]*)"?$/gm)].flatMap(([, text]) =>
    text.split(" "),
  );
  const known = ids.find((id) => Object.hasOwn(commands, id));
  return known === undefined
    ? "install cmake, a C++ compiler and make with the system's package manager"
    : `install the tools with: ${commands[known]}`;
}

function osRelease() {
  for (const path of ["/etc/os-release", "/usr/lib/os-release"])
    if (existsSync(path)) return readFileSync(path, "utf8");
  return "";
}

/** Runs a command to its end. @returns its output, or null if it cannot be run or fails */
function outputOf(command, args, input = "") {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8", input });
  return status === 0 ? stdout : null;
}

function findCmake() {
  const text = outputOf("cmake", ["--version"]);
  const least = leastCmake.join(".");
  if (text === null)
    throw new BuildError(`Expected CMake ≥ ${least} in PATH but found none; ${howToInstall()}`);
  const version = /version (\d+)\.(\d+)\S*/.exec(text);
  const [major, minor] = (version?.slice(1, 3) ?? []).map(Number);
  const isEnough = major > leastCmake[0] || (major === leastCmake[0] && minor >= leastCmake[1]);
  if (!isEnough) {
    const found = version?.[0].replace("version ", "") ?? JSON.stringify(text.split("\n", 1)[0]);
    throw new BuildError(
      `Expected CMake ≥ ${least} but found ${found}; install a newer one, for example with: pip install cmake`,
    );
  }
  return "cmake";
}

/** The compilers to try: the one that `CXX` names, else the usual names. Clang's target on Windows must be MinGW. */
function candidates({ CXX }) {
  if (CXX === undefined || CXX.trim() === "")
    return (process.platform === "win32" ? ["clang++"] : ["c++", "g++", "clang++"]).map((name) => [
      name,
    ]);
  // CMake takes options after the compiler's name too, as in "ccache g++".
  return [existsSync(CXX) ? [CXX] : CXX.trim().split(/\s+/)];
}

/** @returns the compiler's name for CMake; undefined if CMake takes it from `CXX` */
function findCompiler(environment) {
  const found = [];
  for (const [name, ...options] of candidates(environment)) {
    const check = ["-std=c++20", "-x", "c++", "-fsyntax-only", "-"];
    if (outputOf(name, [...options, ...check], program) !== null)
      return environment.CXX?.trim() ? undefined : name;
    const version = outputOf(name, [...options, "--version"]);
    if (version !== null) found.push(`${name} is ${version.split("\n", 1)[0].trim()}`);
  }
  const names = candidates(environment)
    .map(([name]) => name)
    .join(", ");
  throw new BuildError(
    found.length === 0
      ? `Expected a C++20 compiler (${compilers}) but found none of ${names}; ${howToInstall()}`
      : `Expected a C++20 compiler (${compilers}) but ${found.join(", ")}, which cannot compile C++20 here; ` +
          "install a newer one and name it with CXX, for example CXX=g++-12",
  );
}

/** @returns the name of CMake's generator; undefined if `CMAKE_GENERATOR` names it */
function findGenerator({ CMAKE_GENERATOR }) {
  if (CMAKE_GENERATOR) return undefined;
  for (const name of ["ninja", "ninja-build"])
    if (outputOf(name, ["--version"]) !== null) return "Ninja";
  const [make, generator] =
    process.platform === "win32" ? ["mingw32-make", "MinGW Makefiles"] : ["make", "Unix Makefiles"];
  if (outputOf(make, ["--version"]) !== null) return generator;
  throw new BuildError(`Expected Ninja or Make in PATH but found neither; ${howToInstall()}`);
}

/** The memory that this process may use: the machine's, or less in a container. Node answers 0 or a huge number without a limit. */
const memoryBytes = () => Math.min(process.constrainedMemory?.() || Infinity, totalmem());

/**
 * @returns how many files to compile at once: one for each core, and at most one for each 1 GB of memory. The system ends a
 * compiler for which there is no memory, and then the build fails.
 */
export function jobs(cores = availableParallelism(), bytes = memoryBytes()) {
  return Math.max(1, Math.min(cores, Math.floor(bytes / 1e9)));
}

/**
 * Finds the tools of a build.
 * @returns their names: `cmake`, and `compiler` and `generator`, which are undefined if the environment names them
 * @throws {BuildError} with what is missing and how to install it
 */
export function findTools(environment = process.env) {
  return {
    cmake: findCmake(),
    compiler: findCompiler(environment),
    generator: findGenerator(environment),
  };
}
