import type { Buffer } from "node:buffer";
import { mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";

const ENDING = ".pcapng";
/** So many are kept, and so many bytes of them; the oldest go. */
const MAX_FILES = 40;
const MAX_BYTES = 32 * 1024 * 1024;

export interface RecordingsLimits {
  readonly files: number;
  readonly bytes: number;
}

/** The folder `<dataDir>/recordings`. */
export class Recordings {
  readonly #folder: string;
  readonly #minFree: number;
  readonly #limits: RecordingsLimits;

  /** @param minFree bytes of the disk that recordings leave free. */
  constructor(dataDir: string, minFree: number, limits: RecordingsLimits = { files: MAX_FILES, bytes: MAX_BYTES }) {
    this.#folder = join(dataDir, "recordings");
    this.#minFree = minFree;
    this.#limits = limits;
  }

  /**
   * Writes a file that nobody else may read, whole or not at all, and removes the oldest ones beyond the limits. Gives its
   * path; undefined where the disk has no room for it. @throws what the disk says.
   */
  async write(name: string, blocks: AsyncIterable<Buffer>): Promise<string | undefined> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const { bavail, bsize } = await statfs(this.#folder);
    if (bavail * bsize < this.#minFree + this.#limits.bytes / 4) return undefined;
    const path = join(this.#folder, `${name}${ENDING}`);
    const part = join(this.#folder, `.${name}.part`);
    try {
      const file = await open(part, "w", 0o600);
      try {
        for await (const block of blocks) await file.writeFile(block);
      } finally {
        await file.close();
      }
      await rename(part, path);
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
    await this.#prune();
    return path;
  }

  async #prune(): Promise<void> {
    const found: { path: string; size: number; mtimeMs: number }[] = [];
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      const { size, mtimeMs } = await stat(path).catch(() => ({ size: 0, mtimeMs: 0 }));
      // A part that a killed process left behind.
      if (name.endsWith(".part")) await rm(path, { force: true });
      else if (name.endsWith(ENDING)) found.push({ path, size, mtimeMs });
    }
    found.sort((a, b) => b.mtimeMs - a.mtimeMs);
    let bytes = 0;
    for (const [index, { path, size }] of found.entries()) {
      bytes += size;
      // The newest one stays, however large.
      if (index > 0 && (index >= this.#limits.files || bytes > this.#limits.bytes)) await rm(path, { force: true });
    }
  }
}
