// What happens on the way to an index: cut connections, logins, redirects, proxies, certificates and full disks.
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import fsPromises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { installFiles } from "../../../lib/nvidia/install.ts";
import { linksOfHtml, linksOfJson } from "../../../lib/nvidia/simple-index.ts";
import type { InstallOptions } from "../../../lib/nvidia/types.ts";
import { IndexServer } from "../../support/index-server.ts";
import { contentOf, makeWheel } from "../../support/wheels.ts";

const root = mkdtempSync(join(tmpdir(), "vgg-network-"));
const quiet = { PIP_CONFIG_FILE: "/dev/null", HOME: root };
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(root, "to-"));
});
afterAll(() => rmSync(root, { recursive: true }));

const made = makeWheel("nvidia-one", {
  "libone.so.1": contentOf(300_000),
  "libtwo.so": contentOf(80_000, 2),
});
const { wheel } = made;
const install = (index: string | undefined, more: Partial<InstallOptions> = {}) =>
  installFiles({
    ...{ folder, wheels: [wheel], index, environment: quiet, retryDelayMs: 1, ...more },
  });

function expectInstalled(): void {
  expect(readdirSync(folder).sort()).toEqual(["libone.so.1", "libtwo.so"]);
  for (const [to, bytes] of made.files)
    expect(Buffer.compare(readFileSync(join(folder, to)), bytes), to).toBe(0);
}
const errorOf = (index: string | undefined, more: Partial<InstallOptions> = {}) =>
  install(index, more).then(
    () => undefined,
    (error) => error,
  );

describe.each([true, false])("connections (ranges: %s)", (hasRanges) => {
  it.each([0, 0.4])(
    "that are cut once at each request, after %d of the body, are tried again",
    async (part) => {
      await using server = await new IndexServer([made]).start();
      server.hasRanges = hasRanges;
      const cut = new Set<string>();
      server.cutAfter = ({ url, headers }, total) => {
        // A request that goes on is another one, and is cut too.
        const key = `${url} ${headers.range}`;
        if (cut.has(key) || total < 1000) return undefined;
        cut.add(key);
        return Math.floor(total * part);
      };
      await install(server.index, { retries: 9 });
      expectInstalled();
      expect(cut.size).toBeGreaterThan(2 - Number(!hasRanges && part === 0));
    },
  );

  it("that are always cut fail without half a file, and calls go on from there", async () => {
    await using server = await new IndexServer([made]).start();
    server.hasRanges = hasRanges;
    server.cutAfter = ({ url }, total) =>
      url!.startsWith("/files/") && total > 70_000 ? Math.max(30_000, total >> 1) : undefined;
    let calls = 0;
    for (let error: Error | undefined; calls < 30; calls++) {
      error = await errorOf(server.index, { retries: 0 });
      if (error === undefined) break;
      expect(error).toMatchObject({ code: "DOWNLOAD_FAILED" });
      expect(error.message).toContain(wheel.file);
      for (const name of readdirSync(folder)) expect(name).toMatch(/\.part(\.json)?$|^libtwo\.so$/);
      if (!hasRanges) break; // A server without ranges begins anew each time.
    }
    if (hasRanges) expectInstalled();
    server.cutAfter = () => undefined;
    await install(server.index);
    expectInstalled();
  });

  it("that fail for a moment are tried again", async () => {
    await using server = await new IndexServer([made]).start();
    server.hasRanges = hasRanges;
    const seen = new Set<string>();
    server.hook = ({ url, headers }, response) => {
      const key = `${url} ${headers.range}`;
      if (seen.has(key)) return;
      seen.add(key);
      response.writeHead(seen.size % 2 ? 503 : 429).end();
      return true;
    };
    await install(server.index);
    expectInstalled();
  });
});

describe("a login", () => {
  const login = "user:s cret";
  const withLogin = (url: string) => url.replace("//", "//user:s%20cret@");

  it("is taken from the address, and sent to the index's server only", async () => {
    await using server = await new IndexServer([made]).start();
    await using files = await new IndexServer([made]).start();
    server.login = login;
    await install(withLogin(server.index));
    expectInstalled();
    rmSync(join(folder, "libtwo.so"));
    server.filesAt = files.url;
    await install(withLogin(server.index));
    expectInstalled();
    expect(files.requests.length).toBeGreaterThan(1);
    for (const { headers } of files.requests) expect(headers.authorization).toBeUndefined();
  });

  it("does not follow a redirect to another server", async () => {
    await using server = await new IndexServer([made]).start();
    await using files = await new IndexServer([made]).start();
    server.login = login;
    server.hook = ({ url }, response) => {
      if (!url!.startsWith("/files/")) return;
      response.writeHead(302, { location: `${files.url}${url!.slice(1)}?signature=x` }).end();
      return true;
    };
    await install(withLogin(server.index));
    expectInstalled();
    expect(files.requests.length).toBeGreaterThan(1);
    for (const { headers } of files.requests) {
      expect(headers.authorization).toBeUndefined();
      expect(headers.range).toMatch(/^bytes=/);
    }
  });

  it("is taken from netrc", async () => {
    await using server = await new IndexServer([made]).start();
    server.login = login;
    const NETRC = join(root, "netrc");
    writeFileSync(NETRC, 'machine 127.0.0.1 login user password "s cret"');
    await install(server.index, { environment: { ...quiet, NETRC } });
    expectInstalled();
  });

  it("that is missing or wrong is asked for, and never shown", async () => {
    await using server = await new IndexServer([made]).start();
    server.login = login;
    const other = server.index.replace("//", "//user:hidden@");
    for (const index of [server.index, other]) {
      const error = await errorOf(index);
      expect(error).toMatchObject({ code: "DOWNLOAD_FAILED" });
      const page = `${server.index}/nvidia-one/`;
      expect(error.message).toContain(`Could not download ${page}: the server answered 401`);
      expect(error.message).toContain("~/.netrc");
      expect(JSON.stringify([error.message, error.stack, String(error.cause)])).not.toContain(
        "hidden",
      );
    }
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("proxies", () => {
  it("are pip's, and stand before NO_PROXY", async () => {
    await using proxy = await new IndexServer([made]).start();
    proxy.filesAt = "http://nvidia.example/";
    const environment = { ...quiet, PIP_PROXY: proxy.url, NO_PROXY: "*" };
    await install("http://nvidia.example/simple", { environment });
    expectInstalled();
    expect(proxy.requests[0]!.url).toBe("http://nvidia.example/simple/nvidia-one/");
  });

  it("are the environment's, but for the hosts of NO_PROXY", async () => {
    await using proxy = await new IndexServer([made]).start();
    await using server = await new IndexServer([made]).start();
    const environment = { ...quiet, http_proxy: proxy.url, NO_PROXY: "127.0.0.1" };
    await install(server.index, { environment });
    expect(proxy.requests).toEqual([]);
    rmSync(join(folder, "libtwo.so"));
    await install(server.index, { environment: { ...environment, NO_PROXY: "other" } });
    expect(proxy.requests.length).toBeGreaterThan(1);
    expectInstalled();
  });
});

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
describe.skipIf(!hasOpenssl)("a server with a certificate of one's own", () => {
  it("is reached by pip's cert, and without it the error names the setting", async () => {
    const [key, cert] = [join(root, "key.pem"), join(root, "cert.pem")];
    execFileSync(
      "openssl",
      [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
        ...["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        ...["-keyout", key, "-out", cert],
      ],
      { stdio: "ignore" },
    );
    const tls = { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
    await using server = await new IndexServer([made], tls).start();
    const error = await errorOf(server.index, { retries: 0 });
    expect(error).toMatchObject({ code: "DOWNLOAD_FAILED" });
    expect(error.message).toMatch(/self.signed certificate.*PIP_CERT/);
    await install(server.index, { environment: { ...quiet, PIP_CERT: cert } });
    expectInstalled();
  });
});

describe("a full disk", () => {
  it("is found before the download", async () => {
    await using server = await new IndexServer([made]).start();
    const { statfs } = fsPromises;
    const free = (bytes: number) => async () => ({ blocks: 9, bavail: bytes, bsize: 1 }) as never;
    try {
      for (const bytes of [300_000, 400_000]) {
        fsPromises.statfs = free(bytes) as typeof statfs;
        syncBuiltinESMExports();
        await expect(install(server.index)).rejects.toMatchObject({
          code: "DISK_FULL",
          message: expect.stringMatching(/^No room in .*Expected 1 MB but 1 MB are free/),
        });
      }
    } finally {
      fsPromises.statfs = statfs;
      syncBuiltinESMExports();
    }
    expect(readdirSync(folder)).toEqual([]);
    await install(server.index);
    expectInstalled();
  });

  it("during the download keeps what came, and the next call goes on", async () => {
    await using server = await new IndexServer([made]).start();
    const script = fileURLToPath(new URL("../../children/install.mjs", import.meta.url));
    const options = { folder, wheels: [wheel], index: server.index, environment: quiet };
    const command = `ulimit -f 100; exec "${process.execPath}" "${script}" "$1"`;
    const run = promisify(execFile);
    const { stdout } = await run("sh", ["-c", command, "sh", JSON.stringify(options)]);
    const { code, message } = JSON.parse(stdout);
    expect(code).toBe("DISK_FULL");
    expect(message).toContain(folder);
    expect(readdirSync(folder).some((name) => /^libone.*\.part$/.test(name))).toBe(true);
    const before = server.sentBytes;
    await install(server.index);
    expectInstalled();
    expect(server.sentBytes - before).toBeLessThan(wheel.size);
  });
});

describe("pages of an index", () => {
  const page = new URL("https://a.example/simple/x/");

  it("in HTML have links of every form", () => {
    const text = `<a>none</a><a href=http://plain/x.whl>http</a><a href="ftp://a/x.whl">ftp</a>
      <a class="b" href = '../../f/a%2B1.whl#sha256=${"A".repeat(64)}&amp;x=1' data-yanked>a</a>
      <A\nHREF=b.whl>b</A><a href="//c.example/c.whl?x=1&amp;y=&#50;#md5=1">c</a><a href="http://[">`;
    expect(linksOfHtml(text, page).map(({ url, ...link }) => ({ ...link, url: url.href }))).toEqual(
      [
        {
          ...{ file: "a+1.whl", sha256: "a".repeat(64), size: undefined, isYanked: true },
          url: "https://a.example/f/a%2B1.whl",
        },
        {
          file: "b.whl",
          sha256: undefined,
          size: undefined,
          isYanked: false,
          url: "https://a.example/simple/x/b.whl",
        },
        {
          file: "c.whl",
          sha256: undefined,
          size: undefined,
          isYanked: false,
          url: "https://c.example/c.whl?x=1&y=2",
        },
      ],
    );
    const based = linksOfHtml('<base href="/other/"><a href="d.whl">', page);
    expect(based[0]!.url.href).toBe("https://a.example/other/d.whl");
  });

  // A quadratic reader takes longer than any test may.
  it("in HTML are read in linear time", () => {
    for (const piece of ["<a ", '<a href="', "<a '\"", "<base "])
      expect(linksOfHtml(piece.repeat(300_000), page).length).toBeLessThanOrEqual(300_000);
  });

  it("in JSON skip what is no file", () => {
    const files = [
      null,
      1,
      {},
      { filename: 1 },
      { filename: "a", url: 7 },
      { filename: "b", url: "b" },
    ];
    const links = linksOfJson(JSON.stringify({ meta: { "api-version": "1.4" }, files }), page);
    expect(links).toMatchObject([{ file: "b", sha256: undefined, size: undefined }]);
    const later = { meta: { "api-version": "2.0" }, files: [] };
    for (const text of ["", "[]", "{}", "null", JSON.stringify(later)])
      expect(linksOfJson(text, page)).toBeUndefined();
  });
});
