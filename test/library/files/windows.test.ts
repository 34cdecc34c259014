// What differs on Windows in folders, patterns, signals and files in use, tried with its name given.
import { afterEach, describe, expect, it, vi } from "vitest";
import { isAnUrl, patternOf } from "../../../lib/cli/images/expand.ts";
import { torchCacheFolder, userCacheFolder } from "../../../lib/files/cache-folder.ts";
import { fileError } from "../../../lib/files/errors.ts";
import { expandHome } from "../../../lib/files/home.ts";
import { despiteUse } from "../../../lib/files/in-use.ts";
import { ownEndOf } from "../../../lib/files/temporary-files.ts";

const home = "C:\\Users\\Jörg";
const windows = (environment: Record<string, string> = {}) => ({
  platform: "win32" as const,
  environment,
  home,
});

describe("on Windows the cache folder", () => {
  const local = "C:\\Users\\Jörg\\AppData\\Local";

  it("is XDG_CACHE_HOME if that is absolute, else LOCALAPPDATA, else AppData\\Local in the home folder", () => {
    const both = { XDG_CACHE_HOME: "D:\\cache", LOCALAPPDATA: local };
    expect(userCacheFolder(windows(both))).toBe("D:\\cache");
    expect(userCacheFolder(windows({ ...both, XDG_CACHE_HOME: "cache" }))).toBe(local);
    expect(userCacheFolder(windows({ LOCALAPPDATA: "E:\\local" }))).toBe("E:\\local");
    expect(userCacheFolder(windows({ LOCALAPPDATA: "local" }))).toBe(local);
    expect(userCacheFolder(windows())).toBe(local);
  });

  it("of torch is .cache in the home folder, as torch has it on every system", () => {
    expect(torchCacheFolder(windows({ LOCALAPPDATA: local }))).toBe("C:\\Users\\Jörg\\.cache");
    expect(torchCacheFolder(windows({ XDG_CACHE_HOME: "D:\\cache" }))).toBe("D:\\cache");
  });

  it("is no other one elsewhere", () => {
    for (const platform of ["linux", "darwin"] as const) {
      const machine = { platform, environment: { LOCALAPPDATA: "/local" }, home: "/home/me" };
      expect(userCacheFolder(machine)).toBe("/home/me/.cache");
      expect(torchCacheFolder(machine)).toBe("/home/me/.cache");
    }
  });
});

it("~ may be followed by a backslash on Windows alone", () => {
  expect(expandHome("~\\torch", windows())).toBe(`${home}\\torch`);
  expect(expandHome("~/torch", windows())).toBe(`${home}/torch`);
  expect(expandHome("~", windows())).toBe(home);
  expect(expandHome("~me\\torch", windows())).toBe("~me\\torch");
  const linux = { platform: "linux" as const, environment: {}, home: "/home/me" };
  expect(expandHome("~\\torch", linux)).toBe("~\\torch");
  expect(expandHome("~/torch", linux)).toBe("/home/me/torch");
});

describe("a pattern of images", () => {
  it("has backslashes between its parts on Windows", () => {
    const relative = patternOf("cats\\**\\*.jpg", "win32");
    expect(relative).toMatchObject({ pattern: "cats/**/*.jpg", absolute: false });
    expect(patternOf("D:\\cats\\*.jpg", "win32")).toEqual({
      pattern: "cats/*.jpg",
      cwd: "D:\\",
      absolute: true,
    });
    expect(patternOf("\\\\server\\share\\cats\\*.jpg", "win32")).toEqual({
      pattern: "cats/*.jpg",
      cwd: "\\\\server\\share\\",
      absolute: true,
    });
    expect(patternOf("D:/cats/*.jpg", "win32")).toMatchObject({ pattern: "cats/*.jpg" });
  });

  it("has them as escapes elsewhere", () => {
    const escaped = patternOf("/cats/\\[1\\]*.jpg", "linux");
    expect(escaped).toEqual({ pattern: "/cats/\\[1\\]*.jpg", cwd: process.cwd(), absolute: true });
  });

  it("is no URL if it begins with a drive", () => {
    for (const path of ["C:\\cats\\*.jpg", "C:/cats/a.jpg", "c:cats.jpg"])
      expect(isAnUrl(path)).toBe(false);
    expect(isAnUrl("file:///C:/cats/a.jpg")).toBe(true);
  });
});

it("a process ends itself with a signal that its system knows", () => {
  expect(ownEndOf("SIGHUP", "win32")).toBe("SIGTERM");
  expect(ownEndOf("SIGBREAK", "win32")).toBe("SIGTERM");
  expect(ownEndOf("SIGHUP", "linux")).toBe("SIGHUP");
});

describe("a step on a file in use", () => {
  const { platform } = process;
  afterEach(() => Object.defineProperty(process, "platform", { value: platform }));
  const refusal = (code: string) => Object.assign(new Error(code), { code });

  it.each(["EPERM", "EACCES", "EBUSY"])("is tried again after %s on Windows", async (code) => {
    let tries = 0;
    const step = async () => {
      if (++tries < 3) throw refusal(code);
      return "done";
    };
    expect(await despiteUse(step, "win32")).toBe("done");
    expect(tries).toBe(3);
  });

  it("fails on Windows with the likely reason", () => {
    expect(fileError(refusal("EPERM"), "a").message).toBe("Cannot use a: EPERM");
    Object.defineProperty(process, "platform", { value: "win32" });
    const { message, code } = fileError(refusal("EPERM"), "a");
    expect(message).toBe("Cannot use a: EPERM; another program may have it open");
    expect(code).toBe("FOLDER_UNUSABLE");
    expect(fileError(refusal("ENOENT"), "a").message).toBe("Cannot use a: ENOENT");
  });

  it("fails after a second, and at once with another error or on another system", async () => {
    const startMs = performance.now();
    const busy = vi.fn(() => Promise.reject(refusal("EBUSY")));
    await expect(despiteUse(busy, "win32")).rejects.toMatchObject({ code: "EBUSY" });
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(1_000);
    expect(busy.mock.calls.length).toBeGreaterThan(5);
    const missing = vi.fn(() => Promise.reject(refusal("ENOENT")));
    await expect(despiteUse(missing, "win32")).rejects.toMatchObject({ code: "ENOENT" });
    expect(missing).toHaveBeenCalledTimes(1);
    busy.mockClear();
    await expect(despiteUse(busy, "linux")).rejects.toMatchObject({ code: "EBUSY" });
    expect(busy).toHaveBeenCalledTimes(1);
  });
});
