// Finds the package index: the one that is asked for, else what pip is configured to use, else NVIDIA's.
import { rangeError, readOptions, typeError } from "../check.js";
import { type Connection, withoutLogin } from "../download/http.js";
import { VggError } from "../errors.js";
import { withFile } from "../files/errors.js";
import { expandHome, machineOf } from "../files/home.js";
import { readWhole } from "../files/read-whole.js";
import { type Logins, loginFor, readNetrc } from "./netrc.js";
import { isOn, type PipSettings, pathOf, readPipSettings, type Setting } from "./pip-settings.js";
import type { Environment } from "./types.js";

/**
 * The indexes that are asked if nothing else is configured. NVIDIA publishes the same files, with the same hashes, on its
 * own index and on PyPI; PyPI is asked if the own index does not answer.
 */
export const usualIndexes = ["https://pypi.nvidia.com/", "https://pypi.org/simple/"] as const;

/** Where packages come from, and how it is reached. Its secrets are private, so that no message and no log shows them. */
export class PackageIndex {
  /** The addresses in the order in which they are asked, without credentials and query. */
  readonly shown: readonly string[];
  /** Who chose the first address: `--index`, a variable such as `PIP_INDEX_URL`, the path of a pip.conf, or `default`. */
  readonly chosenBy: string;
  /** pip's `timeout` in ms. */
  readonly timeoutMs: number | undefined;
  readonly #addresses: readonly URL[];
  readonly #logins: Logins;
  readonly #connection: Connection;

  constructor(
    addresses: readonly URL[],
    chosenBy: string,
    more: { timeoutMs: number | undefined; logins: Logins; connection: Connection },
  ) {
    this.#addresses = addresses;
    this.shown = addresses.map(({ origin, pathname }) => origin + pathname);
    this.chosenBy = chosenBy;
    this.timeoutMs = more.timeoutMs;
    this.#logins = more.logins;
    this.#connection = more.connection;
  }

  /** The certificates and proxies to use. */
  get connection(): Connection {
    return this.#connection;
  }

  /** The page of a project on each index, with credentials. */
  pages(project: string): URL[] {
    const name = normalizedName(project);
    return this.#addresses.map((address) => {
      const url = new URL(address);
      url.pathname = `${url.pathname.replace(/\/$/, "")}/${name}/`;
      return this.withLogin(url);
    });
  }

  /** Returns the address with the credentials of its server: its own, an index's of the same origin, or netrc's. */
  withLogin(address: URL): URL {
    const url = new URL(address);
    if (url.username !== "" || url.password !== "") return url;
    const known = this.#addresses.find(
      ({ origin, username, password }) => origin === url.origin && username + password !== "",
    );
    if (known !== undefined) {
      url.username = known.username;
      url.password = known.password;
      return url;
    }
    const login = loginFor(this.#logins, url.hostname);
    if (login !== undefined) {
      url.username = encodeURIComponent(login.name);
      url.password = encodeURIComponent(login.password);
    }
    return url;
  }
}

/** The name of a project as indexes have it (PEP 503). */
export function normalizedName(name: string): string {
  return name.replace(/[-_.]+/g, "-").toLowerCase();
}

function addressOf(value: string, name: string): URL {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !["https:", "http:"].includes(url.protocol)) {
    const expected = "an address that begins with https:// or http://";
    throw rangeError(expected, name, withoutLogin(value));
  }
  url.hash = "";
  return url;
}

const words = (setting: Setting | undefined) => setting?.value.split(/\s+/).filter(Boolean) ?? [];

/** How a setting is called in a message. */
function titleOf(setting: Setting, key: string): string {
  return setting.from.startsWith("PIP_") ? setting.from : `${key} in ${setting.from}`;
}

/** The addresses in pip's order. If pip has extra indexes only, these come before the usual ones. */
function addressesOf(settings: PipSettings): { addresses: URL[]; chosenBy: string } {
  const main = settings.get("index-url");
  const extra = settings.get("extra-index-url");
  const own = main === undefined ? [] : [addressOf(main.value, titleOf(main, "index-url"))];
  const extras = words(extra).map((word) => addressOf(word, titleOf(extra!, "extra-index-url")));
  const usual = main === undefined ? usualIndexes.map((address) => new URL(address)) : [];
  return {
    addresses: [...own, ...extras, ...usual],
    chosenBy: (main ?? extra)?.from ?? "default",
  };
}

/** Reads the certificates that pip is told to trust. */
async function readCertificates(
  settings: PipSettings,
  environment: Environment,
): Promise<string | undefined> {
  const setting = settings.get("cert");
  const other = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].find((name) => environment[name]);
  if (setting === undefined && other === undefined) return undefined;
  const path =
    setting === undefined
      ? expandHome(environment[other!]!, machineOf(environment))
      : pathOf(setting, environment);
  const name = setting === undefined ? other! : titleOf(setting, "cert");
  const text = await withFile(path, () => readWhole(path));
  if (!text.includes("-----BEGIN")) throw rangeError("a file of certificates in PEM", name, path);
  return text;
}

/** The proxies: pip's for all addresses, else the environment's. */
function proxiesOf(settings: PipSettings, environment: Environment): Connection {
  const setting = settings.get("proxy");
  if (setting === undefined) {
    const of = (name: string) => environment[name] ?? environment[name.toUpperCase()] ?? "";
    const [httpProxy, httpsProxy] = [of("http_proxy"), of("https_proxy")];
    return { httpProxy, httpsProxy, noProxy: of("no_proxy") };
  }
  const proxy = setting.value.includes("://") ? setting.value : `http://${setting.value}`;
  if (!URL.canParse(proxy)) {
    const name = titleOf(setting, "proxy");
    throw rangeError("an address such as http://proxy:3128", name, withoutLogin(proxy));
  }
  // As for pip, a proxy that is given overrides NO_PROXY.
  return { httpProxy: proxy, httpsProxy: proxy, noProxy: "" };
}

/** pip's timeout in ms. @throws {RangeError} it is no number above 0 */
function timeoutOf(settings: PipSettings): number | undefined {
  const key = settings.has("timeout") ? "timeout" : "default-timeout";
  const setting = settings.get(key);
  if (setting === undefined) return undefined;
  const seconds = Number(setting.value);
  if (!(seconds > 0))
    throw rangeError("a number of seconds above 0", titleOf(setting, key), setting.value);
  return Math.min(seconds * 1000, 86_400_000);
}

/** Checks that pip may use an index. @throws {VggError} OFFLINE @throws {RangeError} neither yes nor no */
function checkMayUseIndex(settings: PipSettings): void {
  const setting = settings.get("no-index");
  if (setting === undefined) return;
  const title = titleOf(setting, "no-index");
  const isForbidden = isOn(setting);
  if (isForbidden === undefined) throw rangeError("true or false", title, setting.value);
  if (!isForbidden) return;
  throw new VggError(
    "OFFLINE",
    `pip is told to use no package index (${title}); choose one with --index, or give a folder with the wheels with --from`,
  );
}

/**
 * Finds the package index. Reads files and the environment, and uses no network.
 * @param options.index what `--index` gives; pip's own certificates and proxy are used with it, its indexes are not
 * @param options.environment default `process.env`
 * @throws {TypeError|RangeError} an address that is not http or https, or a setting of pip's without a meaning
 * @throws {VggError} FOLDER_UNUSABLE: a file of pip's that cannot be read; OFFLINE: pip is told to use no index
 */
export async function resolveIndex(
  given: { index?: string | undefined; environment?: Environment | undefined } = {},
): Promise<PackageIndex> {
  const options = readOptions(given, "options", ["index", "environment"]);
  const { index, environment = process.env } = options;
  if (index !== undefined && typeof index !== "string") throw typeError("a string", "index", index);
  const settings = await readPipSettings(environment);
  const { addresses, chosenBy } =
    index === undefined
      ? addressesOf(settings)
      : { addresses: [addressOf(index, "index")], chosenBy: "--index" };
  if (index === undefined) checkMayUseIndex(settings);
  const timeoutMs = timeoutOf(settings);
  const ca = await readCertificates(settings, environment);
  return new PackageIndex(addresses, chosenBy, {
    timeoutMs,
    logins: await readNetrc(environment),
    connection: { ...proxiesOf(settings, environment), ca },
  });
}
