// The page in Chromium: images by every way, labels, times, layers, neighbours, errors, tokens, and who can use it.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { storedTokenOf } from "../../lib/access/tokens.ts";
import { labels } from "../support/small-model.ts";
import { hasBrowser, usePage } from "./browser.ts";

const golden = (name: string) =>
  readFileSync(new URL(`../../../test/golden/images/${name}`, import.meta.url));
const cat = { name: "cat.png", mimeType: "image/png", buffer: golden("landscape.png") };
const dog = { name: "dog.jpg", mimeType: "image/jpeg", buffer: golden("portrait.jpg") };
const text = { name: "text.jpg", mimeType: "image/jpeg", buffer: Buffer.from("no image") };

const pick = (page: Page, ...files: (typeof cat)[]) => page.setInputFiles("#file", files);
const answered = (page: Page) => page.locator("#labels li").first().waitFor();

/** Fires an event with a file on the page, as a browser does. */
const send = (page: Page, kind: "drop" | "paste", { name, mimeType, buffer }: typeof cat) =>
  page.evaluate(
    ([kind, name, type, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(bytes)], name, { type }));
      const init = { bubbles: true, cancelable: true };
      document.body.dispatchEvent(
        kind === "drop"
          ? new DragEvent("drop", { ...init, dataTransfer: data })
          : new ClipboardEvent("paste", { ...init, clipboardData: data }),
      );
    },
    [kind, name, mimeType, [...buffer]] as const,
  );

describe.skipIf(!hasBrowser)("the page", () => {
  const { open, start } = usePage();

  it.each(["drop", "paste", "pick"] as const)("takes an image by %s", async (way) => {
    const { page, errors } = await open();
    await (way === "pick" ? pick(page, cat) : send(page, way, cat));
    await answered(page);
    const names = await page.locator("#labels .name").allTextContents();
    expect(names).toHaveLength(5);
    expect(labels).toEqual(expect.arrayContaining(names));
    const times = await page.locator("#times dt").allTextContents();
    expect(times).toEqual(["Upload", "Decode", "Queue", "Run", "Rest", "Total"]);
    const run = await page.locator("#times .run dd").textContent();
    expect(Number.parseFloat(run!)).toBeGreaterThan(0);
    await page.waitForFunction(() => document.querySelector("#status")?.textContent !== "");
    expect(await page.locator("#status").textContent()).toBe(`cat.png: ${names[0]}`);
    expect(errors).toEqual([]);
  });

  it("says in words why an image fails, and goes on", async () => {
    const { page } = await open();
    await pick(page, text);
    await page.locator("#problem:visible").waitFor();
    expect(await page.locator("#problem").textContent()).toMatch(
      /Expected a JPEG, PNG, .* image but it is text/,
    );
    expect(await page.locator("#layers").isVisible()).toBe(false);
    await pick(page, cat);
    await answered(page);
    expect(await page.locator("#problem").isVisible()).toBe(false);
  });

  it("takes several images one after another, and finds those that are similar", async () => {
    const { page } = await open();
    const requests: string[] = [];
    page.on("request", (request) => requests.push(`> ${new URL(request.url()).pathname}`));
    page.on("requestfinished", (request) => requests.push(`< ${new URL(request.url()).pathname}`));
    await pick(page, cat, dog, { ...cat, name: "same.png" });
    await page.locator("#similar li").nth(1).waitFor();
    const notes = await page.locator("#similar .note").allTextContents();
    expect(await page.locator("#similar .name").allTextContents()).toEqual(["same.png", "dog.jpg"]);
    expect(Number(notes[0])).toBeCloseTo(1, 3);
    expect(Number(notes[1])).toBeLessThan(Number(notes[0]));
    const calls = requests.filter((line) => /classify|embed/.test(line));
    const one = ["> /classify", "< /classify", "> /embed", "< /embed"];
    expect(calls).toEqual([...one, ...one, ...one]);
  });

  it("keeps at most 100 images, and revokes the addresses of the others", async () => {
    const { page } = await open();
    await page.evaluate(() => {
      const revoke = URL.revokeObjectURL;
      document.title = "0";
      URL.revokeObjectURL = (url) => {
        document.title = String(Number(document.title) + 1);
        revoke(url);
      };
    });
    await pick(page, ...Array.from({ length: 103 }, () => text));
    await page.locator("#list li").nth(99).waitFor();
    expect(await page.locator("#list li").count()).toBe(100);
    expect(await page.title()).toBe("3");
  });

  it("shows the channels of a layer", async () => {
    const { page, errors } = await open();
    await pick(page, cat);
    await answered(page);
    await page.locator("#layers:visible").waitFor();
    await page.selectOption("#layer", "features.8");
    await page.click("#show-layer");
    await page.locator("#tiles:visible").waitFor();
    expect(await page.locator("#layer-text").textContent()).toContain(
      "The first 64 of 256 channels",
    );
    const width = () =>
      page.locator("#tiles").evaluate((tiles) => (tiles as HTMLImageElement).naturalWidth);
    await expect.poll(width).toBeGreaterThan(100);
    await page.selectOption("#layer", "classifier.3");
    await page.click("#show-layer");
    await page.getByText(/\b64 values/).waitFor();
    expect(errors).toEqual([]);
  });

  it("shows the queue and the throughput", async () => {
    const { page } = await open();
    await page.locator("#traffic dd").first().waitFor();
    await pick(page, cat);
    const requests = page.locator("#traffic div", { hasText: "Requests" }).locator("dd");
    await expect.poll(() => requests.textContent(), { timeout: 30_000 }).toBe("2");
    expect(await page.locator("#traffic-problem").isVisible()).toBe(false);
  });

  it("asks for a token, says that one is wrong, and keeps the right one in memory only", async () => {
    const { page } = await open({ access: { tokens: [storedTokenOf("secret")] } });
    for (const token of ["wrong", "secret"]) {
      await page.locator("#token-form:visible").waitFor();
      await page.fill("#token", token);
      await page.keyboard.press("Enter");
      if (token === "wrong")
        await page.waitForFunction(
          () => !(document.querySelector("#token") as HTMLInputElement).validity.valid,
        );
    }
    await page.locator("#model option").first().waitFor({ state: "attached" });
    await pick(page, cat);
    await answered(page);
    const kept = await page.evaluate(() => [
      localStorage.length,
      sessionStorage.length,
      document.cookie,
    ]);
    expect(kept).toEqual([0, 0, ""]);
    await page.reload();
    await page.locator("#token-form:visible").waitFor();
  });

  it("asks another model when another is chosen", async () => {
    const { model } = await start();
    const { page } = await open({ models: { one: model, two: model } });
    await page.locator("#model option").nth(1).waitFor({ state: "attached" });
    await pick(page, cat);
    await answered(page);
    const called = page.waitForRequest(/classify\?model=two/);
    await page.selectOption("#model", "two");
    await called;
  });

  it("can be used with the keyboard alone", async () => {
    const { page } = await open();
    await page.locator("#layer option").first().waitFor({ state: "attached" });
    await pick(page, cat, dog);
    await page.locator("#similar li").first().waitFor();
    const seen = new Set<string>();
    for (let presses = 0; presses < 12; presses++) {
      await page.keyboard.press("Tab");
      const focused = await page.evaluate(() => {
        const element = document.activeElement as HTMLElement;
        const ring = element.id === "file" ? element.closest("label")! : element;
        const { outlineStyle, outlineWidth } = getComputedStyle(ring);
        const isSeen = outlineStyle !== "none" && outlineWidth !== "0px";
        return {
          name: element.id || element.textContent!.trim(),
          isSeen,
          body: element === document.body,
        };
      });
      if (focused.body) continue;
      seen.add(focused.name);
      expect(focused.isSeen, focused.name).toBe(true);
    }
    for (const id of ["model", "file", "layer", "channels", "show-layer"])
      expect([...seen]).toContain(id);
    const second = page.locator("#list button").last();
    await second.focus();
    await page.keyboard.press("Enter");
    await expect.poll(() => page.locator("#preview").getAttribute("alt")).toBe("cat.png");
    await expect.poll(() => second.evaluate((one) => one === document.activeElement)).toBe(true);
  });

  it.each([
    ["light", 1280],
    ["dark", 1280],
    ["light", 360],
    ["dark", 360],
  ] as const)("fits and is accessible in %s at %d pixels", async (colorScheme, width) => {
    const context = { colorScheme, viewport: { width, height: 800 }, bypassCSP: true };
    const { page } = await open({}, context);
    const long = { ...dog, name: `${"a-very-long-name-".repeat(8)}.jpg` };
    await pick(page, text, cat, long);
    await page.locator("#list .note.wrong").waitFor();
    await page.locator("#list button").last().click();
    await page.locator("#problem:visible").waitFor();
    await check(page);
    await page.locator("#list button").first().click();
    await page.locator("#similar li").first().waitFor();
    await page.click("#show-layer");
    await page.locator("#tiles:visible").waitFor();
    await check(page);
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const [red] = /\d+/.exec(ground)!;
    expect(Number(red) < 128).toBe(colorScheme === "dark");
  });

  it("lets no other script run", async () => {
    const { page, errors } = await open();
    const ran = await page.evaluate(async () => {
      const script = document.createElement("script");
      script.textContent = "document.title = 'inline'";
      document.head.append(script);
      const other = await fetch("http://localhost:1/").then(
        () => "fetched",
        () => "refused",
      );
      return [document.title, other];
    });
    expect(ran).toEqual(["vgg-cudnn", "refused"]);
    expect(errors.join("\n")).toMatch(/Content Security Policy/);
  });
});

/** Nothing is wider than the window, and axe finds nothing. */
async function check(page: Page): Promise<void> {
  const [scroll, client] = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return [scrollWidth, clientWidth];
  });
  expect(scroll).toBeLessThanOrEqual(client!);
  await page.addScriptTag({ path: createRequire(import.meta.url).resolve("axe-core") });
  const found = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
    };
    const { violations } = await axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  });
  expect(found).toEqual([]);
}
