import { statfs } from "node:fs/promises";
import { dirname } from "node:path";

export interface Disk {
  /** Bytes that an ordinary user can still write. */
  readonly freeBytes: number;
  /** Whether it is memory, and forgotten at a restart. */
  readonly volatile: boolean;
}

/** `f_type` of file systems that live in memory (linux/magic.h): tmpfs, ramfs. */
const MEMORY = new Set([0x01021994, 0x858458f6]);

/** The disk under a folder that may not exist yet; undefined where the system does not say. */
export async function diskOf(folder: string): Promise<Disk | undefined> {
  try {
    const { bavail, bsize, type } = await statfs(folder);
    return { freeBytes: bavail * bsize, volatile: MEMORY.has(type) };
  } catch {
    const parent = dirname(folder);
    return parent === folder ? undefined : await diskOf(parent);
  }
}
