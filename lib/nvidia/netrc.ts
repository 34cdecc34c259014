// Reads names and passwords of servers from a netrc file, as pip and curl do.
import { join } from "node:path";
import { isMissing } from "../files/errors.js";
import { machineOf } from "../files/home.js";
import { readWhole } from "../files/read-whole.js";
import type { Environment } from "./types.js";

export interface Login {
  readonly name: string;
  readonly password: string;
}

/** The logins by host. The key "" has the login of `default`. */
export type Logins = ReadonlyMap<string, Login>;

/** Splits into words; a word in quotes may hold spaces. A line's # begins a comment only at the line's start. */
function wordsOf(text: string): string[] {
  const words: string[] = [];
  let isMacro = false;
  for (const line of text.split(/\r\n|\r|\n/)) {
    // A macro goes on to the next empty line.
    if (isMacro) {
      isMacro = line.trim() !== "";
      continue;
    }
    if (line.trimStart().startsWith("#")) continue;
    for (const [word, quoted] of line.matchAll(/"((?:[^"\\]|\\.)*)"|\S+/g)) {
      if (word === "macdef") {
        isMacro = true;
        break;
      }
      words.push(quoted === undefined ? word : quoted.replace(/\\(.)/g, "$1"));
    }
  }
  return words;
}

/** Parses the text of a netrc file. Of two entries of a host the first counts. */
export function parseNetrc(text: string): Logins {
  const logins = new Map<string, Login>();
  const words = wordsOf(text);
  let host: string | undefined;
  let name = "";
  let password = "";
  const finish = () => {
    if (host !== undefined && !logins.has(host) && (name !== "" || password !== ""))
      logins.set(host, { name, password });
    name = "";
    password = "";
  };
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === "machine" || word === "default") {
      finish();
      host = word === "default" ? "" : words[++i]?.toLowerCase();
    } else if (word === "login" || word === "user") name = words[++i] ?? "";
    else if (word === "password") password = words[++i] ?? "";
    else if (word === "account") i++;
  }
  finish();
  return logins;
}

/** Reads $NETRC, else ~/.netrc or ~/_netrc. A file that cannot be read has no logins, as for pip. */
export async function readNetrc(environment: Environment): Promise<Logins> {
  const { home } = machineOf(environment);
  const chosen = environment.NETRC || undefined;
  const usual = home === undefined ? [] : [join(home, ".netrc"), join(home, "_netrc")];
  for (const path of chosen === undefined ? usual : [chosen]) {
    try {
      return parseNetrc(await readWhole(path));
    } catch (error) {
      if (!isMissing(error)) break;
    }
  }
  return new Map();
}

/** Returns the login for a host, or the default one. */
export function loginFor(logins: Logins, hostname: string): Login | undefined {
  return logins.get(hostname.toLowerCase()) ?? logins.get("");
}
