// Reads the key and the certificates of a server.
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { isPem } from "./config.js";
import type { ListenOptions } from "./options.js";

/** PEM texts. */
export interface TlsTexts {
  readonly key: string;
  readonly cert: string;
  readonly ca?: string;
}

/**
 * @param name the protocol, for errors
 * @throws {TypeError} a file that cannot be read, or a key and a certificate that are none or do not fit
 */
export async function readTls(
  given: ListenOptions["tls"],
  name: string,
): Promise<TlsTexts | undefined> {
  if (given === undefined) return undefined;
  const { key, cert, ca } = given;
  const read = async (part: string, pem: string) => {
    if (isPem(pem)) return pem;
    return readFile(pem, "utf8").catch(({ code }: NodeJS.ErrnoException) => {
      throw new TypeError(
        `Expected a file for ${name}.tls.${part} but reading ${pem} gives ${code}`,
      );
    });
  };
  const texts = {
    key: await read("key", key),
    cert: await read("cert", cert),
    ...(ca !== undefined && { ca: await read("ca", ca) }),
  };
  try {
    createSecureContext(texts);
  } catch (cause) {
    const { message } = cause as Error;
    throw new TypeError(`Expected a key and its certificate in PEM for ${name}.tls: ${message}`, {
      cause,
    });
  }
  return texts;
}
