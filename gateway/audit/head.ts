import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Head } from "./chain.ts";

/**
 * The last line's seq and hash, in a file of its own: what was cut off the end of the chain is missed. It is written after
 * the line it names is on disk, so it may be behind after a kill, and is never ahead.
 */
const shape = z.strictObject({ seq: z.number().int().nonnegative(), hash: z.string().length(64) });

export const HEAD_FILE = "head.json";

/** Undefined where there is none, or none that can be read. */
export async function readHead(folder: string): Promise<Head | undefined> {
  try {
    return shape.parse(JSON.parse(await readFile(join(folder, HEAD_FILE), "utf8")));
  } catch {
    return undefined;
  }
}

export async function writeHead(folder: string, { seq, hash }: Head): Promise<void> {
  const path = join(folder, HEAD_FILE);
  const file = await open(`${path}.new`, "w", 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ seq, hash })}\n`);
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
}
