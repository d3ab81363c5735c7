import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";

/** Where the bdSeq of the last CONNECT is kept, so that it goes on over restarts and kills. */
export class BdSeqFile {
  readonly #path: string | undefined;
  readonly #log: Logger;
  #failed = false;

  /** @param dataDir absent: nothing is kept. */
  constructor(dataDir: string | undefined, uplink: string, log: Logger) {
    this.#path = dataDir === undefined ? undefined : join(dataDir, "sparkplug", `${encodeURIComponent(uplink)}.json`);
    this.#log = log;
  }

  /** Undefined before the first CONNECT, or when it cannot be read: said, then it begins at 0. Never rejects. */
  async load(): Promise<number | undefined> {
    if (this.#path === undefined) return undefined;
    try {
      const read: unknown = JSON.parse(await readFile(this.#path, "utf8"));
      if (typeof read === "object" && read !== null && "bdSeq" in read && isByte(read.bdSeq)) return read.bdSeq;
      throw new RangeError("no bdSeq in it");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      this.#log.warn({ file: this.#path, reason: messageOf(error) }, "bdSeq cannot be read; it begins at 0");
      return undefined;
    }
  }

  /** On disk (fsync) when it resolves. Never rejects: a disk that refuses is told, and data still flow. */
  async save(bdSeq: number): Promise<void> {
    if (this.#path === undefined) return;
    try {
      await replace(this.#path, `${JSON.stringify({ bdSeq })}\n`);
      this.#failed = false;
    } catch (error) {
      if (!this.#failed)
        this.#log.error({ file: this.#path, reason: messageOf(error) }, "bdSeq cannot be kept over a restart");
      this.#failed = true;
    }
  }
}

function isByte(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 255;
}

async function replace(path: string, text: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  const next = `${path}.new`;
  await synced(next, "w", (handle) => handle.writeFile(text));
  await rename(next, path);
  await synced(folder, "r", () => Promise.resolve());
}

async function synced(path: string, flags: string, write: (handle: Awaited<ReturnType<typeof open>>) => Promise<void>) {
  const handle = await open(path, flags);
  try {
    await write(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
