import { randomBytes, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { moreCrc } from "./crc.ts";
import { errorCode, replaceFile } from "./files.ts";
import { FORMAT, NewerFormatError } from "./meta.ts";

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
 * The identity on disk; undefined where there is none or it cannot be read. It is `proven` by its checksum, which
 * version 0.1 did not write yet.
 * @throws NewerFormatError when the store is of a newer version; nothing was touched.
 */
export async function readIdentity(dataDir: string): Promise<{ identity: Identity; proven: boolean } | undefined> {
  let text: string;
  try {
    text = await readFile(pathOf(dataDir), "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
  const { crc, ...found } = parse(text) ?? {};
  const proven = crc !== undefined;
  if (proven && crc !== crcOf(found)) return undefined;
  if (typeof found.format === "number" && found.format > FORMAT)
    throw new NewerFormatError(found.format, pathOf(dataDir));
  if (
    found.format !== FORMAT ||
    typeof found.store !== "string" ||
    !/^[0-9a-f]{32}$/.test(found.store) ||
    typeof found.epoch !== "number" ||
    !Number.isInteger(found.epoch) ||
    found.epoch < 0 ||
    found.epoch > 0xffff_ffff
  ) {
    return undefined;
  }
  const identity = {
    format: FORMAT,
    store: found.store,
    epoch: found.epoch,
    machine: typeof found.machine === "string" ? found.machine : "",
    created: typeof found.created === "number" ? found.created : 0,
  };
  return { identity, proven };
}

export async function writeIdentity(dataDir: string, identity: Identity): Promise<void> {
  await replaceFile(pathOf(dataDir), `${JSON.stringify({ ...identity, crc: crcOf(identity) })}\n`);
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

function crcOf(identity: object): number {
  return moreCrc(0, Buffer.from(JSON.stringify(identity)));
}

function parse(text: string): Partial<Record<keyof Identity | "crc", unknown>> | undefined {
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === "object" && found !== null ? found : undefined;
  } catch {
    return undefined;
  }
}
