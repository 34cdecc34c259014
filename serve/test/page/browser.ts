// Debian's Chromium with the page of a server that has the small network, for the tests of the page.
import { existsSync } from "node:fs";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { type ServeOptions, type Server, serve } from "../../lib/index.ts";
import { saveSmallModel } from "../support/small-model.ts";

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);

/** Whether the tests can run. In CI, where VGG_REQUIRE_TOOLS is 1, they must. */
export const hasBrowser = executablePath !== undefined || process.env.VGG_REQUIRE_TOOLS === "1";
if (!hasBrowser) console.log("Chromium is absent: the tests of the page are skipped");

const silent = { info: () => {}, warn: () => {}, error: () => {} };

/** A page that is open, and what its console said. */
export interface Opened {
  readonly page: Page;
  readonly errors: string[];
  readonly server: Server;
  readonly url: string;
}

/** Starts Chromium and saves the network before the tests of a file. Returns what opens the page in a test. */
export function usePage() {
  let browser: Browser;
  let saved: Awaited<ReturnType<typeof saveSmallModel>>;
  beforeAll(async () => {
    if (executablePath === undefined)
      throw new Error("Expected Chromium in /usr/bin: apt install chromium");
    saved = await saveSmallModel();
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  });
  afterAll(async () => {
    await browser?.close();
    saved?.remove();
  });
  const start = async (more: Partial<ServeOptions> = {}) => {
    const model = { weights: saved.weights, devices: ["cpu"], threads: 1, warmup: false };
    const server = await serve({
      models: { small: model },
      ...{ http: { port: 0 }, grpc: false, metrics: false, logger: silent, drainMs: 0 },
      ...more,
    });
    onTestFinished(() => server.close());
    return { server, url: `http://127.0.0.1:${server.addresses.http!.port}/`, model };
  };
  const open = async (
    more: Partial<ServeOptions> = {},
    context: BrowserContextOptions = {},
  ): Promise<Opened> => {
    const { server, url } = await start(more);
    const opened = await browser.newContext(context);
    onTestFinished(() => opened.close());
    const page = await opened.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") errors.push(message.text());
    });
    await page.goto(url);
    return { page, errors, server, url };
  };
  return { open, start };
}
