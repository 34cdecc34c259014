// Makes every file call fail, one after the other, in each of several ways, while weights are saved, read, converted
// and downloaded. Each failure must be a VggError with a suitable code, no descriptor may stay open, no file may be torn,
// and the next call must work. node test/faults/io.mjs [STEP] [SCENARIO]: every STEP-th call fails. Linux only: io_faults.cc.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const fileOf = (name) => fileURLToPath(new URL(name, import.meta.url));
const step = Number(process.argv[2] ?? 1);
const only = process.argv[3];

if (process.env.VGG_IO_FAULTS === undefined) {
  const library = fileOf("../../build/Release/libio_faults.so");
  if (process.platform !== "linux" || !fs.existsSync(library)) {
    console.error(`Expected Linux and ${library}: npm run test:io-faults`);
    process.exit(2);
  }
  // Use a folder in memory if there is one, because each save waits for its disk.
  const parent = fs.existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  const folder = fs.mkdtempSync(join(parent, "vgg-io-"));
  const env = { ...process.env, LD_PRELOAD: library, VGG_IO_FAULTS: folder };
  // A proxy or a mirror that the user has set is not part of the test.
  for (const name of Object.keys(env))
    if (/proxy$|^VGG_(OFFLINE|WEIGHTS)/i.test(name)) delete env[name];
  const { status } = spawnSync(process.execPath, process.argv.slice(1), { env, stdio: "inherit" });
  fs.rmSync(folder, { recursive: true, force: true });
  process.exit(status ?? 1);
}

// What follows runs under the library alone, so import it here.
const { VggError } = await import("../../dist/index.js");
const { close, expect, scenarios } = await import("./io-scenarios.mjs");

/** Arms call `n` (no call if 0) and resets the counts. */
const arm = (action, n, errno = 0) => fs.existsSync(`/vgg-io-faults/${action}/${n}/${errno}`);
const status = () => {
  const [calls, hit, open] = fs.readlinkSync("/vgg-io-faults/status").split(" ");
  return { calls: Number(calls), hit: hit === "-" ? undefined : hit, open: Number(open) };
};

const ways = [
  ["EIO", "once", 5],
  ["EIO forever", "ever", 5],
  ["ENOSPC", "once", 28],
  ["ESTALE", "once", 116],
  ["EINTR", "once", 4],
  ["EACCES", "once", 13],
  ["short reads and writes", "short", 0],
];

let passed = 0;
let failed = 0;
let unhandled;
process.on("unhandledRejection", (error) => {
  unhandled = error;
});

/** Runs a scenario with call `n` failing. @returns false if there is no such call */
async function one(scenario, action, n, errno) {
  await scenario.before?.();
  const { open } = status();
  arm(action, n, errno);
  let error;
  const hang = setTimeout(() => {
    console.error(`FAILED: call ${n} makes it wait forever`);
    process.exit(1);
  }, 30_000);
  await Promise.resolve(scenario.run()).catch((reason) => {
    error = reason;
  });
  clearTimeout(hang);
  const { calls, hit } = status();
  arm("once", 0);
  if (action === "short" ? calls === 0 : hit === undefined) return false;
  const where = `${hit ?? "short"}, ${error?.code ?? error ?? "no error"}: `;
  expect(
    error === undefined || (error instanceof VggError && scenario.codes.includes(error.code)),
    `${where}${error?.stack}`,
  );
  expect(action !== "short" || error === undefined, `${where}${error?.stack}`);
  expect(error === undefined || error.cause !== undefined, `${where}the error has no cause`);
  // A stream closes its file after it has ended.
  for (let tries = 0; status().open > open && tries < 100; tries++)
    await new Promise((done) => setTimeout(done, 10));
  expect(status().open <= open, `${where}${status().open - open} descriptors stayed open`);
  await scenario.after?.(error);
  await scenario.run();
  await scenario.after?.(undefined);
  await scenario.end?.();
  expect(unhandled === undefined, `${where}unhandled ${unhandled?.stack}`);
  return true;
}

for (const [name, scenario] of Object.entries(scenarios)) {
  if (only !== undefined && name !== only) continue;
  const counts = [];
  for (const [way, action, errno] of ways) {
    let count = 0;
    for (let n = 1; ; n += action === "short" ? Number.POSITIVE_INFINITY : step) {
      if (n === Number.POSITIVE_INFINITY) break;
      try {
        if (!(await one(scenario, action, n, errno))) break;
        passed++;
      } catch (error) {
        failed++;
        arm("once", 0);
        console.log(`FAILED: ${name}, ${way} at call ${n}: ${error.message}`);
        if (failed > 100) process.exit(1);
      }
      unhandled = undefined;
      count++;
    }
    counts.push(`${way} ${count}`);
    if (count === 0) {
      failed++;
      console.log(`FAILED: ${name}, ${way}: no call was seen`);
    }
  }
  console.log(`${name}: ${counts.join(", ")}`);
}
close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
