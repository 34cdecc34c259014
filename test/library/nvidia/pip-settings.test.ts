// What pip is configured to use: files in each place, variables, certificates, proxies and netrc.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { parseIni } from "../../../lib/nvidia/ini.ts";
import { loginFor, parseNetrc } from "../../../lib/nvidia/netrc.ts";
import { resolveIndex, usualIndexes } from "../../../lib/nvidia/package-index.ts";
import { readPipSettings } from "../../../lib/nvidia/pip-settings.ts";

const root = mkdtempSync(join(tmpdir(), "vgg-pip-"));
let home = "";
beforeEach(() => {
  home = mkdtempSync(join(root, "home-"));
});
afterAll(() => rmSync(root, { recursive: true }));

/** An environment with nothing but a home folder. */
const environment = (more: Record<string, string> = {}) => ({
  HOME: home,
  XDG_CONFIG_DIRS: join(home, "none"),
  ...more,
});
/** The same without any file of pip's. */
const without = (more: Record<string, string> = {}) =>
  environment({ PIP_CONFIG_FILE: "/dev/null", ...more });

function write(path: string, text: string): string {
  const file = join(home, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

const settingsOf = (name: string) => `[global]\nindex-url = https://${name}/simple\n`;

describe("an ini file", () => {
  it("is read as configparser reads it", () => {
    const text =
      "\n# comment\n; comment\n[DEFAULT]\ntimeout = 3\n[global]\nIndex_URL: https://a/?x=1\nextra-index-url =\n    https://b\n    # no value\n    https://c\nempty =\n" +
      "[install]\r\nindex-url=https://d # kept\r\nindex-url = https://e\nno delimiter\n  indented = x\n[global]\nproxy = p\n";
    const sections = parseIni(text);
    expect(Object.fromEntries(sections.get("global")!)).toEqual({
      "index-url": "https://a/?x=1",
      "extra-index-url": "https://b\nhttps://c",
      empty: "",
      proxy: "p",
      timeout: "3",
    });
    expect(sections.get("install")!.get("index-url")).toBe("https://e");
    expect(sections.has("DEFAULT")).toBe(false);
  });

  it.each(["", "key = value", "[", "[]\n=\n", "[a]\n = b", "\0\0[x]"])("may be %j", (text) => {
    expect(parseIni(text)).toBeInstanceOf(Map);
  });
});

describe("pip's files", () => {
  it.each<[string, NodeJS.Platform, string, Record<string, string>]>([
    ["of the user", "linux", ".config/pip/pip.conf", {}],
    ["of the user, by XDG_CONFIG_HOME", "linux", "x/pip/pip.conf", { XDG_CONFIG_HOME: "x" }],
    ["of the user, at the old place", "linux", ".pip/pip.conf", {}],
    ["of the machine", "linux", "etc/pip/pip.conf", { XDG_CONFIG_DIRS: "etc" }],
    ["of the virtual environment", "linux", "venv/pip.conf", { VIRTUAL_ENV: "venv" }],
    ["of conda's environment", "linux", "conda/pip.conf", { CONDA_PREFIX: "conda" }],
    ["by PIP_CONFIG_FILE", "linux", "own.ini", { PIP_CONFIG_FILE: "own.ini" }],
    ["of the user on macOS", "darwin", "Library/Application Support/pip/pip.conf", {}],
    ["of the user on macOS, as on Linux", "darwin", ".config/pip/pip.conf", {}],
    ["of the user on Windows", "win32", "Roaming/pip/pip.ini", { APPDATA: "Roaming" }],
    ["of the user on Windows, at the old place", "win32", "pip/pip.ini", { USERPROFILE: "." }],
    ["of the machine on Windows", "win32", "Data/pip/pip.ini", { ProgramData: "Data" }],
  ])("%s are read", async (_, system, path, variables) => {
    const file = write(path, settingsOf("here"));
    const absolute = Object.entries(variables).map(([name, value]) => [name, join(home, value)]);
    const found = await readPipSettings(environment(Object.fromEntries(absolute)), system);
    expect(found.get("index-url")).toEqual({ value: "https://here/simple", from: file });
  });

  it("override each other in pip's order, and [install] overrides [global] of any file", async () => {
    const indexOf = async (more: Record<string, string> = {}) =>
      (
        await readPipSettings(environment({ XDG_CONFIG_DIRS: join(home, "etc"), ...more }), "linux")
      ).get("index-url")?.value;
    write("etc/pip/pip.conf", settingsOf("machine"));
    expect(await indexOf()).toBe("https://machine/simple");
    write(".pip/pip.conf", settingsOf("old"));
    expect(await indexOf()).toBe("https://old/simple");
    write(".config/pip/pip.conf", settingsOf("user"));
    expect(await indexOf()).toBe("https://user/simple");
    const VIRTUAL_ENV = join(home, "venv");
    write("venv/pip.conf", settingsOf("venv"));
    expect(await indexOf({ VIRTUAL_ENV })).toBe("https://venv/simple");
    const PIP_CONFIG_FILE = write("own.conf", settingsOf("own"));
    expect(await indexOf({ VIRTUAL_ENV, PIP_CONFIG_FILE })).toBe("https://own/simple");
    write("etc/pip/pip.conf", "[install]\nindex-url = https://install/simple\n");
    expect(await indexOf({ VIRTUAL_ENV, PIP_CONFIG_FILE })).toBe("https://install/simple");
    expect(await indexOf({ PIP_INDEX_URL: "https://variable/simple" })).toBe(
      "https://variable/simple",
    );
    expect(await indexOf({ PIP_INDEX_URL: "" })).toBe("https://install/simple");
  });

  it("of the user are skipped if PIP_CONFIG_FILE names a file, and all are with the null device", async () => {
    write(".config/pip/pip.conf", settingsOf("user"));
    const PIP_CONFIG_FILE = write("own.conf", "[global]\ntimeout = 9\n");
    const other = await readPipSettings(environment({ PIP_CONFIG_FILE }));
    expect([other.get("index-url"), other.get("timeout")?.value]).toEqual([undefined, "9"]);
    const missing = await readPipSettings(environment({ PIP_CONFIG_FILE: join(home, "no") }));
    expect(missing.get("index-url")?.value).toBe("https://user/simple");
    expect((await readPipSettings(without())).size).toBe(0);
  });

  it("that cannot be read are named", async () => {
    mkdirSync(join(home, ".config/pip/pip.conf"), { recursive: true });
    await expect(readPipSettings(environment(), "linux")).rejects.toMatchObject({
      code: "FOLDER_UNUSABLE",
      message: expect.stringContaining("pip.conf"),
    });
  });
});

describe("the index", () => {
  it("is NVIDIA's, then PyPI, if nothing is configured", async () => {
    expect(await resolveIndex({ environment: without() })).toMatchObject({
      shown: usualIndexes,
      chosenBy: "default",
      timeoutMs: undefined,
    });
  });

  it("is the one that is asked for, before those that pip has", async () => {
    const variables = { PIP_INDEX_URL: "https://b/", PIP_EXTRA_INDEX_URL: "https://c/" };
    const given = { index: "https://a/simple", environment: without(variables) };
    expect(await resolveIndex(given)).toMatchObject({
      shown: ["https://a/simple"],
      chosenBy: "--index",
    });
  });

  it("is pip's, with its extra ones", async () => {
    const both = { PIP_INDEX_URL: "https://b/", PIP_EXTRA_INDEX_URL: " https://c/x  https://d/ " };
    expect(await resolveIndex({ environment: without(both) })).toMatchObject({
      shown: ["https://b/", "https://c/x", "https://d/"],
      chosenBy: "PIP_INDEX_URL",
    });
    const extra = without({ PIP_EXTRA_INDEX_URL: "https://c/" });
    expect(await resolveIndex({ environment: extra })).toMatchObject({
      shown: ["https://c/", ...usualIndexes],
      chosenBy: "PIP_EXTRA_INDEX_URL",
    });
  });

  it("has a page for each project under its normal name, with credentials that no one sees", async () => {
    write(".netrc", "machine d login name password secret3");
    const index = await resolveIndex({
      environment: without({
        PIP_INDEX_URL: "https://user:secret1@b/simple/?token=secret2",
        PIP_EXTRA_INDEX_URL: "https://d",
      }),
    });
    expect(index.pages("Nvidia_cuDNN.-cu13").map(String)).toEqual([
      "https://user:secret1@b/simple/nvidia-cudnn-cu13/?token=secret2",
      "https://name:secret3@d/nvidia-cudnn-cu13/",
    ]);
    expect(inspect(index, { depth: 9 }) + JSON.stringify(index)).not.toContain("secret");
    expect(String(index.withLogin(new URL("https://b/f.whl")))).toBe(
      "https://user:secret1@b/f.whl",
    );
    expect(String(index.withLogin(new URL("http://b/f.whl")))).toBe("http://b/f.whl");
    expect(String(index.withLogin(new URL("https://b:1/f.whl")))).toBe("https://b:1/f.whl");
    expect(String(index.withLogin(new URL("https://own@b/f")))).toBe("https://own@b/f");
  });

  it.each([
    ["PIP_INDEX_URL", "ftp://user:secret@a/", "ftp://a/"],
    ["PIP_INDEX_URL", "user:secret@a", "a"],
    ["PIP_INDEX_URL", "https://user:my/secret@a/b", "https://a/b"],
    ["PIP_INDEX_URL", "ftp://user:my@secret@a/", "ftp://a/"],
    ["PIP_EXTRA_INDEX_URL", "https://a/ //u:secret@[", "//["],
    ["PIP_PROXY", "http://u:secret@a:b:c", "http://a:b:c"],
  ])("refuses %s=%s without its credentials", async (name, value, shown) => {
    const error = await resolveIndex({ environment: without({ [name]: value }) }).catch((e) => e);
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toContain(`for ${name} but received ${JSON.stringify(shown)}`);
    expect(error.message).not.toContain("secret");
  });

  it("names the file of a wrong setting", async () => {
    const path = write(".config/pip/pip.conf", "[global]\nindex-url = /srv/index\n");
    await expect(resolveIndex({ environment: environment() })).rejects.toThrow(
      `for index-url in ${path} but received "/srv/index"`,
    );
  });

  it("refuses options of other types", async () => {
    await expect(resolveIndex({ index: 1 as never })).rejects.toThrow(TypeError);
    await expect(resolveIndex({ url: "" } as never)).rejects.toThrow("only the options");
    await expect(resolveIndex({ index: "" })).rejects.toThrow(RangeError);
  });

  it("is none if pip may use none, unless one is asked for", async () => {
    const environment = without({ PIP_NO_INDEX: "1" });
    await expect(resolveIndex({ environment })).rejects.toMatchObject({
      code: "OFFLINE",
      message: expect.stringContaining("PIP_NO_INDEX"),
    });
    expect((await resolveIndex({ index: "https://a/", environment })).shown).toHaveLength(1);
    const may = { environment: without({ PIP_NO_INDEX: "off" }) };
    expect((await resolveIndex(may)).shown).toEqual(usualIndexes);
    await expect(resolveIndex({ environment: without({ PIP_NO_INDEX: "maybe" }) })).rejects.toThrow(
      'Expected true or false for PIP_NO_INDEX but received "maybe"',
    );
  });
});

describe("certificates, proxies and times", () => {
  const pem = "-----BEGIN CERTIFICATE-----\n";

  it("are pip's, else those that requests and curl use", async () => {
    const one = write("one.pem", `${pem}1`);
    write("two.pem", `${pem}2`);
    const caOf = async (more: Record<string, string>) =>
      (await resolveIndex({ environment: without(more) })).connection.ca;
    expect(await caOf({})).toBeUndefined();
    expect(await caOf({ CURL_CA_BUNDLE: one })).toBe(`${pem}1`);
    expect(await caOf({ REQUESTS_CA_BUNDLE: "~/two.pem", CURL_CA_BUNDLE: one })).toBe(`${pem}2`);
    expect(await caOf({ PIP_CERT: one, REQUESTS_CA_BUNDLE: "/no" })).toBe(`${pem}1`);
    const missing = { PIP_CERT: join(home, "no.pem") };
    await expect(caOf(missing)).rejects.toMatchObject({ code: "FOLDER_UNUSABLE" });
    const wrong = { PIP_CERT: write("wrong.pem", "hello") };
    await expect(caOf(wrong)).rejects.toThrow("a file of certificates in PEM for PIP_CERT");
  });

  it("go through pip's proxy, else through the environment's", async () => {
    const of = async (more: Record<string, string>) =>
      (await resolveIndex({ environment: without(more) })).connection;
    const none = { httpProxy: "", httpsProxy: "", noProxy: "" };
    expect(await of({})).toMatchObject(none);
    const variables = { HTTP_PROXY: "http://a", https_proxy: "http://b", no_proxy: "c" };
    expect(await of(variables)).toMatchObject({
      httpProxy: "http://a",
      httpsProxy: "http://b",
      noProxy: "c",
    });
    const proxy = { httpProxy: "http://p:1", httpsProxy: "http://p:1", noProxy: "" };
    expect(await of({ ...variables, PIP_PROXY: "p:1" })).toMatchObject(proxy);
  });

  it("have pip's timeout", async () => {
    const of = async (more: Record<string, string>) =>
      (await resolveIndex({ environment: without(more) })).timeoutMs;
    expect(await of({ PIP_TIMEOUT: "7" })).toBe(7000);
    expect(await of({ PIP_DEFAULT_TIMEOUT: "1.5" })).toBe(1500);
    await expect(of({ PIP_TIMEOUT: "soon" })).rejects.toThrow(
      'Expected a number of seconds above 0 for PIP_TIMEOUT but received "soon"',
    );
    const file = write("timeout.conf", "[global]\ntimeout = 0\n");
    const own = { HOME: home, PIP_CONFIG_FILE: file };
    await expect(resolveIndex({ environment: environment(own) })).rejects.toThrow(
      `for timeout in ${file} but received "0"`,
    );
  });
});

describe("netrc", () => {
  it("has logins by host, and a default one", () => {
    const logins = parseNetrc(
      '# comment\nmachine a.example login one password "two words"\nmacdef init\nmachine x login y\n\nmachine B.example\n  login three\n  account none\n  password p#4\nmachine a.example login later\ndefault login guest password guest\n',
    );
    expect(loginFor(logins, "a.example")).toEqual({ name: "one", password: "two words" });
    expect(loginFor(logins, "b.EXAMPLE")).toEqual({ name: "three", password: "p#4" });
    expect(loginFor(logins, "x")).toEqual({ name: "guest", password: "guest" });
  });

  it.each(["", "machine", "machine a", "login x", "machine a login"])("may be %j", (text) => {
    expect(loginFor(parseNetrc(text), "a")).toBeUndefined();
  });

  it("is read from NETRC, and a folder there is none", async () => {
    const NETRC = write("own", "default login n password p");
    const index = "https://a/";
    const loginOf = async (more: Record<string, string>) =>
      (await resolveIndex({ index, environment: without(more) })).pages("b")[0]!.username;
    expect(await loginOf({ NETRC })).toBe("n");
    expect(await loginOf({ NETRC: home })).toBe("");
  });
});
