import { type FileHandle, open, rm } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { Clock } from "../core/clock.ts";
import { Serial } from "./deferred.ts";
import { readsInChild } from "./probe.ts";

/** So many processes that ended while they opened a segment, in so much time, and it is not opened again. */
const MOST_CRASHES = 3;
const WINDOW_MS = 600_000;
const FILE_BYTES = 4096;

/**
 * The breaker of crash loops. Before an old segment is opened for the first time in a run, its name goes into the file
 * `state/opening`; when the first reading of it is over, it is taken out again. A name found there at the start is of a
 * segment in which the process before came to its end. Nothing is fsynced: what a killed process wrote is there for the
 * next, and a power cut, of which no segment is guilty, does not count. Nor does a kill from outside: a child has to fail too. Never rejects; a disk that takes no writes only
 * means that nothing is counted.
 */
export class CrashGuard {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #probe: (folder: string) => Promise<boolean>;
  readonly #writes = new Serial();
  /** Per segment, the monotonic times at which an opening was begun and not finished. */
  readonly #begun = new Map<string, number[]>();
  readonly #mine = new Set<string>();
  #file: FileHandle | undefined;

  /** `probe` tells whether a segment can be read without harm. */
  constructor(path: string, clock: Clock, probe: (folder: string) => Promise<boolean> = readsInChild) {
    this.#path = path;
    this.#clock = clock;
    this.#probe = probe;
  }

  /** Reads what the run before left. */
  async start(): Promise<void> {
    try {
      this.#file = await open(this.#path, "r+").catch(() => this.#made());
      const { buffer, bytesRead } = await this.#file.read(Buffer.alloc(FILE_BYTES), 0, FILE_BYTES, 0);
      this.#load(buffer.toString("utf8", 0, bytesRead));
    } catch {
      // Counted from now on, or not at all.
    }
  }

  /** Whether the segment is not to be opened any more: a process of its own could not read it either. */
  async bars(folder: string): Promise<boolean> {
    if ((this.#begun.get(nameOf(folder))?.length ?? 0) < MOST_CRASHES) return false;
    if (!(await this.#probe(folder))) return true;
    await this.end(folder);
    return false;
  }

  /** The segment is about to be opened. */
  async begin(folder: string): Promise<void> {
    const name = nameOf(folder);
    if (this.#mine.has(name)) return;
    this.#mine.add(name);
    this.#begun.set(name, [...(this.#begun.get(name) ?? []), this.#clock.now().monoMs]);
    await this.#save();
  }

  /** It was opened and read from, or refused to be; the process lives. */
  async end(folder: string): Promise<void> {
    const name = nameOf(folder);
    this.#mine.delete(name);
    if (this.#begun.delete(name)) await this.#save();
  }

  async close(): Promise<void> {
    await this.#writes.run(async () => {
      const file = this.#file;
      this.#file = undefined;
      await file?.close().catch(() => {});
    });
  }

  async #made(): Promise<FileHandle> {
    await rm(this.#path, { recursive: true, force: true });
    return await open(this.#path, "w+");
  }

  #load(text: string): void {
    const end = text.indexOf("\n");
    const found: unknown = end < 0 ? undefined : JSON.parse(text.slice(0, end));
    if (typeof found !== "object" || found === null || !("boot" in found) || !("begun" in found)) return;
    const { boot, begun } = found;
    // Times of another boot say nothing, and a machine that went down is not a process that crashed.
    if (boot !== this.#clock.bootId || typeof begun !== "object" || begun === null) return;
    const now = this.#clock.now().monoMs;
    for (const [name, times] of Object.entries(begun)) {
      const recent = Array.isArray(times) ? times.filter((at) => typeof at === "number" && now - at < WINDOW_MS) : [];
      if (recent.length > 0) this.#begun.set(name, recent);
    }
  }

  async #save(): Promise<void> {
    await this.#writes.run(async () => {
      const text = `${JSON.stringify({ format: 1, boot: this.#clock.bootId, begun: Object.fromEntries(this.#begun) })}\n`;
      if (text.length > FILE_BYTES) return;
      await this.#file?.write(text.padEnd(FILE_BYTES), 0).catch(() => {});
    });
  }
}

/** Unique over streams. */
function nameOf(folder: string): string {
  return `${basename(dirname(folder))}/${basename(folder)}`;
}
