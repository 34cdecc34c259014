// Prints "PASSED FAILED" of vitest's JSON reports in a folder, then the name of each failed test or file.
import { readdirSync, readFileSync } from "node:fs";

let passed = 0;
let failed = 0;
const names = [];
for (const file of readdirSync(process.argv[2])) {
  const report = JSON.parse(readFileSync(`${process.argv[2]}/${file}`, "utf8"));
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  for (const { name, status, assertionResults } of report.testResults) {
    const bad = assertionResults.filter((test) => test.status === "failed");
    for (const test of bad) names.push(`${name}: ${test.fullName}`);
    if (status === "failed" && bad.length === 0) names.push(name);
  }
}
console.log([`${passed} ${failed}`, ...names].join("\n"));
