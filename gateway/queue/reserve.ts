import { randomBytes } from "node:crypto";
import { open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../core/log.ts";
import { pause } from "./deferred.ts";
import { errorText, syncFolder } from "./files.ts";

const PIECE_BYTES = 1024 * 1024;
/** Between two pieces: commits go first. */
const PIECE_PAUSE_MS = 20;
/** After it was given up, or could not be made. */
const AGAIN_MS = 5000;

/**
 * A file that takes room on the disk until the disk is full: given up first then, so that what was accepted, seals and
 * cursors can still be written. Real blocks, with bytes that no file system packs.
 */
export class Reserve {
  readonly #path: string;
  readonly #mostBytes: number;
  readonly #log: Logger;
  readonly #stopped = new AbortController();
  #bytes = 0;
  #making: Promise<void> | undefined;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(queueFolder: string, segmentBytes: number, log: Logger) {
    this.#path = join(queueFolder, "reserve");
    this.#mostBytes = 2 * segmentBytes;
    this.#log = log;
  }

  /** Bytes it takes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that are to be left for it, of `freeBytes` of the disk. */
  lacks(freeBytes: number): number {
    return this.#bytes > 0 ? 0 : this.#wanted(freeBytes);
  }

  async start(): Promise<void> {
    await rm(`${this.#path}.new`, { force: true });
    const found = await stat(this.#path).catch(() => undefined);
    if (found && found.size > this.#mostBytes) await rm(this.#path, { force: true });
    else this.#bytes = found?.size ?? 0;
  }

  /** Makes it, some time soon, where there is room beside `keepBytes`. */
  mend(freeBytes: number, keepBytes: number): void {
    if (this.#bytes > 0 || this.#making || this.#stopped.signal.aborted) return;
    const wanted = this.#wanted(freeBytes);
    if (wanted === 0 || freeBytes - wanted < keepBytes || performance.now() < this.#notBeforeMs) return;
    this.#making = this.#make(wanted)
      .catch(async (error: unknown) => {
        this.#notBeforeMs = performance.now() + AGAIN_MS;
        await rm(`${this.#path}.new`, { force: true }).catch(() => {});
        if (!this.#stopped.signal.aborted) this.#log.debug({ reason: errorText(error) }, "reserve not made");
      })
      .finally(() => {
        this.#making = undefined;
      });
  }

  /** The disk is full. Gives whether that made room. */
  async release(): Promise<boolean> {
    this.#notBeforeMs = performance.now() + AGAIN_MS;
    if (this.#bytes === 0) return false;
    this.#bytes = 0;
    await rm(this.#path, { force: true });
    this.#log.warn({}, "disk is full, the reserve is used");
    return true;
  }

  async close(): Promise<void> {
    this.#stopped.abort();
    await this.#making;
  }

  #wanted(freeBytes: number): number {
    return Number.isFinite(freeBytes) ? Math.min(this.#mostBytes, Math.floor(freeBytes / 16)) : 0;
  }

  async #make(bytes: number): Promise<void> {
    const piece = randomBytes(Math.min(bytes, PIECE_BYTES));
    const file = await open(`${this.#path}.new`, "w");
    try {
      for (let left = bytes; left > 0; left -= piece.length) {
        this.#stopped.signal.throwIfAborted();
        const { bytesWritten } = await file.write(piece, 0, Math.min(left, piece.length));
        if (bytesWritten < Math.min(left, piece.length)) throw new Error("No space left on device");
        await file.datasync();
        if (left > piece.length) await pause(PIECE_PAUSE_MS, this.#stopped.signal);
      }
    } finally {
      await file.close();
    }
    await rename(`${this.#path}.new`, this.#path);
    await syncFolder(join(this.#path, ".."));
    this.#bytes = bytes;
  }
}
