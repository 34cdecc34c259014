// Prints the summary line of a step for accept.sh, and writes the suite's JSON.
// Usage: node gpu/summarize.mjs doctor DIAGNOSIS | suite VITEST_JSON JSON
import { readFileSync } from "node:fs";
import { writeJson } from "./common.mjs";

const [step, from, to] = process.argv.slice(2);
const result = JSON.parse(readFileSync(from, "utf8"));

function doctor({ cuda }) {
  const versions = cuda.libraries.map(({ name, version }) => `${name} ${version ?? "-"}`);
  console.log(cuda.available ? [cuda.reason, ...versions].join(", ") : cuda.reason);
  process.exitCode = cuda.available ? 0 : 1;
}

function suite({
  numPassedTests: passed,
  numFailedTests: failed,
  numPendingTests: skipped,
  testResults,
}) {
  const failures = [];
  const seconds = {};
  for (const { name, message, assertionResults, startTime, endTime } of testResults) {
    const file = name.replace(/.*\/test\//, "");
    seconds[file] = (endTime - startTime) / 1000;
    for (const { status, fullName, failureMessages } of assertionResults)
      if (status === "failed")
        failures.push({ file, test: fullName, message: failureMessages.join("\n").slice(0, 2000) });
    // A file that could not be loaded.
    if (message && assertionResults.length === 0)
      failures.push({ file, test: null, message: message.slice(0, 2000) });
  }
  writeJson(to, { passed, failed, skipped, failures, seconds });
  const first = failures.length > 0 ? `; first: ${failures[0].test ?? failures[0].file}` : "";
  console.log(
    `${passed} passed, ${failed} failed, ${skipped} skipped in ${testResults.length} files${first}`,
  );
}

if (step === "doctor") doctor(result);
else suite(result);
