// Counts one step of .ci/run: the step, the tests in vitest's JSON reports, and the lines "N passed, N failed" of native tests.
// Usage: node report.mjs STEP STATUS REPORTS LOG. Prints "PASSED FAILED", then a line for each failure.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

const [step, status, reports, log] = process.argv.slice(2);
let passed = 0;
let failed = 0;
const failures = [];

function fail(count, what) {
  failed += count;
  failures.push(`FAILED ${what}`);
}

/** Counts a report of vitest. A file that fails without a failed test, such as one that cannot be imported, counts as one failure. */
function countReport({ testResults }) {
  for (const { name, status: fileStatus, assertionResults, message } of testResults) {
    const file = relative(process.cwd(), name);
    passed += assertionResults.filter((test) => test.status === "passed").length;
    const bad = assertionResults.filter((test) => test.status === "failed");
    for (const test of bad) fail(1, `${step}: ${file}: ${test.fullName.trim()}`);
    if (fileStatus === "failed" && bad.length === 0)
      fail(1, `${step}: ${file}: ${message.split("\n")[0]}`);
  }
}

if (status === "0") passed += 1;
else fail(1, `step ${step} (status ${status})`);
for (const file of readdirSync(reports)) {
  try {
    countReport(JSON.parse(readFileSync(join(reports, file), "utf8")));
  } catch (error) {
    fail(1, `${step}: a report of vitest cannot be read: ${error.message}`);
  }
}
for (const [, yes, no] of readFileSync(log, "utf8").matchAll(/^(\d+) passed, (\d+) failed/gm)) {
  passed += Number(yes);
  if (Number(no) > 0) fail(Number(no), `${step}: ${no} native tests; see the log`);
}
console.log([`${passed} ${failed}`, ...failures].join("\n"));
