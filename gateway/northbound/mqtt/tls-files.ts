import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { ConfigError, messageOf } from "../../core/errors.ts";
import { monotonicMs } from "../pause.ts";
import type { MqttOptions } from "./options.ts";

/** The TLS files of an uplink as they were at one time. */
export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly crl?: string;
  /** Tells them from others. */
  readonly digest: string;
}

const FILES = ["ca", "cert", "key", "crl"] as const;

/** @throws ConfigError naming the file that cannot be read. */
export function readTlsFiles(tls: MqttOptions["tls"], path: (relative: string) => string): TlsMaterial {
  const found: Partial<Record<(typeof FILES)[number], string>> = {};
  const hash = createHash("sha256");
  for (const key of FILES) {
    const file = tls?.[key];
    if (file === undefined) continue;
    const text = pem(`tls.${key}`, path(file));
    found[key] = text;
    hash.update(`${key} ${text.length} ${text}`);
  }
  return { ...found, digest: hash.digest("hex") };
}

function pem(key: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigError(`${key}: ${messageOf(error)}`, { cause: error });
  }
}

/** Why a PEM certificate file cannot be used; undefined when it can. */
export function certificateFault(file: string): string | undefined {
  try {
    new X509Certificate(readFileSync(file));
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** When the first certificate of a PEM text ends, Unix milliseconds; undefined when there is none. */
export function endOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  try {
    const endMs = Date.parse(new X509Certificate(text).validTo);
    return Number.isNaN(endMs) ? undefined : endMs;
  } catch {
    return undefined;
  }
}

/** Files that were refused are tried again after so long: it may have been the network. */
const AGAIN_MS = 600_000;

/** What outlives the connections of one uplink: the files that worked last, and those that did not. */
export class TlsMemory {
  #good: TlsMaterial | undefined;
  #refused = { digest: "", atMs: 0 };

  /** Those with which the server made a session. */
  get good(): TlsMaterial | undefined {
    return this.#good;
  }

  works(material: TlsMaterial | undefined): void {
    if (material !== undefined) this.#good = material;
  }

  refuse(digest: string): void {
    this.#refused = { digest, atMs: monotonicMs() };
  }

  isRefused(digest: string): boolean {
    return this.#refused.digest === digest && monotonicMs() - this.#refused.atMs < AGAIN_MS;
  }
}
