import { Buffer } from "node:buffer";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { z } from "zod";

const mark = z.object({
  /** The first line of the file. */
  first: z.number().int(),
  /** The line after the last that is known to be on disk. */
  next: z.number().int(),
  sessions: z.number().int(),
  messages: z.number().int(),
  retained: z.number().int(),
});
export type Mark = z.infer<typeof mark>;

const BYTES = 128;

/**
 * How far the journal of the sessions has come, in a file of its own: without it a journal that was cut short, or is gone,
 * looks like one in which nothing happened. Written in place and never fsynced, after the lines it counts are on disk: it can
 * be behind them, never ahead.
 */
export class SessionMark {
  readonly #path: string;
  #file: FileHandle | undefined;
  #writing: Promise<void> | undefined;
  #next: Mark | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Undefined where there is none, or it is damaged. */
  async read(): Promise<Mark | undefined> {
    try {
      const text = (await readFile(this.#path, "utf8")).trimEnd();
      const json = text.slice(9);
      if (text.slice(0, 9) !== `${checksum(json)} `) return undefined;
      return mark.parse(JSON.parse(json));
    } catch {
      return undefined;
    }
  }

  /** Never rejects: it is there to tell of damage, and nothing depends on it. */
  write(next: Mark): void {
    this.#next = next;
    this.#writing ??= this.#run().finally(() => {
      this.#writing = undefined;
    });
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
  }

  async #run(): Promise<void> {
    await Promise.resolve();
    for (let next = this.#next; next; next = this.#next) {
      this.#next = undefined;
      const json = JSON.stringify(next);
      const bytes = Buffer.from(`${checksum(json)} ${json}`.padEnd(BYTES));
      try {
        this.#file ??= await this.#open();
        await this.#file.write(bytes, 0, bytes.length, 0);
      } catch {
        return;
      }
    }
  }

  async #open(): Promise<FileHandle> {
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    return open(this.#path, constants.O_RDWR | constants.O_CREAT, 0o600);
  }
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(8, "0");
}
