import { randomBytes, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../core/errors.ts";
import { errorCode, replaceFile } from "./files.ts";
import { FORMAT } from "./meta.ts";

/** What makes a store itself: `state/store.json`. */
export interface Identity {
  readonly format: number;
  /** UUID as 32 hex digits. */
  readonly store: string;
  readonly epoch: number;
  /** `/etc/machine-id` of the machine that wrote it last. */
  readonly machine: string;
  /** Unix milliseconds. */
  readonly created: number;
}

/**
 * The identity on disk; undefined where there is none or it cannot be read.
 * @throws ConfigError when the store is of a newer version; nothing was touched.
 */
export async function readIdentity(dataDir: string): Promise<Identity | undefined> {
  let text: string;
  try {
    text = await readFile(pathOf(dataDir), "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
  const found = parse(text);
  if (typeof found?.format === "number" && found.format > FORMAT) {
    throw new ConfigError(
      `the data folder ${dataDir} was written by a newer version (format ${found.format}, this one reads up to ${FORMAT})`,
    );
  }
  if (
    found?.format !== FORMAT ||
    typeof found.store !== "string" ||
    !/^[0-9a-f]{32}$/.test(found.store) ||
    typeof found.epoch !== "number"
  ) {
    return undefined;
  }
  return {
    format: FORMAT,
    store: found.store,
    epoch: found.epoch,
    machine: typeof found.machine === "string" ? found.machine : "",
    created: typeof found.created === "number" ? found.created : 0,
  };
}

export async function writeIdentity(dataDir: string, identity: Identity): Promise<void> {
  await replaceFile(pathOf(dataDir), `${JSON.stringify(identity)}\n`);
}

export function newStore(): string {
  return randomUUID().replaceAll("-", "");
}

/** Random 32 bits, never 0. */
export function newEpoch(): number {
  return randomBytes(4).readUInt32BE(0) || 1;
}

function pathOf(dataDir: string): string {
  return join(dataDir, "state", "store.json");
}

function parse(text: string): Partial<Record<keyof Identity, unknown>> | undefined {
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === "object" && found !== null ? found : undefined;
  } catch {
    return undefined;
  }
}
