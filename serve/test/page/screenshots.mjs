// Makes the screenshots of docs/serve.md anew, with Debian's Chromium. The network has random weights: its labels mean nothing.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { Vgg } from "vgg-cudnn";
import { serve } from "vgg-cudnn-serve";

const path = (name) => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
const golden = (name) => path(`test/golden/images/${name}`);
const labels = ["apple", "bicycle", "cat", "dog", "elephant", "fern", "guitar", "house"];
const folder = mkdtempSync(join(tmpdir(), "vgg-page-"));
try {
  const weights = join(folder, "random.safetensors");
  const options = { device: "cpu", imageSize: 96, numClasses: labels.length, labels, seed: 3 };
  const model = await Vgg.create("vgg11", { ...options, preprocess: { resize: 96 } });
  await model.save(weights);
  await model.dispose();
  const server = await serve({
    models: { "vgg11-random": { weights, devices: ["cpu"] } },
    ...{ http: { port: 0 }, grpc: false, metrics: false, drainMs: 0, log: { level: "error" } },
  });
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
  const url = `http://127.0.0.1:${server.addresses.http.port}/`;
  for (const [name, colorScheme, width, isFailed] of [
    ["page-light", "light", 1200, false],
    ["page-dark", "dark", 1200, false],
    ["page-mobile", "light", 360, false],
    ["page-error", "light", 1200, true],
  ]) {
    const page = await browser.newPage({ colorScheme, viewport: { width, height: 800 } });
    await page.goto(url);
    const names = ["rotated.jpg", "alpha.png", "portrait.jpg", "photo.webp", "landscape.png"];
    await page.setInputFiles("#file", names.map(golden).reverse());
    await page.locator("#similar li").nth(3).waitFor();
    if (isFailed) {
      await page.setInputFiles("#file", {
        ...{ name: "holiday.jpg", mimeType: "image/jpeg" },
        buffer: Buffer.from("These bytes are no image"),
      });
      await page.locator("#problem:visible").waitFor();
    } else {
      await page.click("#show-layer");
      await page.locator("#tiles:visible").waitFor();
      await page.locator("#tiles").evaluate((tiles) => tiles.decode());
    }
    await page.waitForTimeout(5000);
    await page.screenshot({ path: path(`docs/images/${name}.png`), fullPage: true });
    await page.close();
  }
  await browser.close();
  await server.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
