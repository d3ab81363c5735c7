import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { ConfigError, messageOf } from "../core/errors.ts";

/** `tls` of an uplink: names of files. */
export interface TlsFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly servername?: string | undefined;
}

/** TLS 1.2 at least, with the files read anew. @param path gives the absolute path of a file. @throws ConfigError naming the key. */
export function tlsTerms({ ca, cert, key, servername }: TlsFiles = {}, host: string, path: (file: string) => string) {
  const pem = (name: string, file: string | undefined) => {
    if (file === undefined) return {};
    try {
      return { [name]: readFileSync(path(file)) };
    } catch (error) {
      throw new ConfigError(`tls.${name}: ${messageOf(error)}`, { cause: error });
    }
  };
  const name = servername ?? (isIP(host) ? undefined : host);
  return {
    minVersion: "TLSv1.2" as const,
    rejectUnauthorized: true,
    ...pem("ca", ca),
    ...pem("cert", cert),
    ...pem("key", key),
    ...(name === undefined ? {} : { servername: name }),
  };
}
