import { Buffer } from "node:buffer";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";

/** What is read of a file at a time, and what is written of a new one. */
const CHUNK_BYTES = 256 * 1024;
/** A run of bytes without a line's end that is longer than this is damage, whatever it says. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
const NEWLINE = 10;

interface Waiting {
  readonly text: string;
  readonly durable: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** `damaged` is a line that cannot be read, `torn` the last one where the writing was cut short. */
export type JournalLine =
  | { readonly kind: "line"; readonly content: unknown }
  | { readonly kind: "damaged" | "torn"; readonly bytes: number };

/**
 * Lines of JSON, each with its checksum, in a file that only grows until it is written anew. A durable line is on disk when
 * `append` resolves; lines that come while others are being written share the next fsync. After a failure nothing is taken until the
 * file was written anew: what an fsync could not write may be gone although the next one succeeds.
 */
export class JournalFile {
  readonly #path: string;
  /** Milliseconds a line that is not durable may wait for an fsync; 0 for as long as the system likes. */
  readonly #syncMs: number;
  #file: FileHandle | undefined;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** What was appended since the snapshot that is being written. */
  #since: string[] | undefined;
  #syncTimer: ReturnType<typeof setTimeout> | undefined;
  #broken = false;
  #bytes = 0;
  #syncs = 0;

  constructor(path: string, syncMs = 0) {
    this.#path = path;
    this.#syncMs = syncMs;
  }

  /** Whether it has to be written anew before it takes anything. */
  get broken(): boolean {
    return this.#broken;
  }
  /** Bytes in the file. */
  get bytes(): number {
    return this.#bytes;
  }
  /** Fsyncs of appended lines so far. */
  get syncs(): number {
    return this.#syncs;
  }

  /** The lines on disk, and how many cannot be read. A last line that was cut short counts as never written. */
  async read(): Promise<{ lines: unknown[]; damaged: number }> {
    const lines: unknown[] = [];
    let damaged = 0;
    for await (const line of this.scan()) {
      if (line.kind === "line") lines.push(line.content);
      else if (line.kind === "damaged") damaged++;
    }
    return { lines, damaged };
  }

  /** The lines on disk one by one; none where there is no file. */
  async *scan(): AsyncGenerator<JournalLine> {
    let pieces: Buffer[] = [];
    let held = 0;
    try {
      for await (const chunk of createReadStream(this.#path, { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Buffer>) {
        let from = 0;
        for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
          const line = lineOf(pieces, chunk.subarray(from, end), held);
          if (line) yield line;
          pieces = [];
          held = 0;
          from = end + 1;
        }
        held += chunk.length - from;
        // What is too long for a line is only counted.
        if (held <= MAX_LINE_BYTES) pieces.push(chunk.subarray(from));
      }
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    if (held === 0) return;
    const last = lineOf(pieces, Buffer.alloc(0), held);
    yield last?.kind === "line" ? last : { kind: "torn", bytes: held };
  }

  /** Replaces all of it, durably; the old file stays until the new one is whole. What is appended meanwhile waits. */
  async replace(lines: Iterable<unknown>): Promise<void> {
    await this.#alone(async () => this.#become(await this.#writeNew(lines)));
  }

  /**
   * As `replace`, while appends go on: `snapshot` says what all lines appended so far come to, and those appended after this
   * call follow it. @throws the system's error: the old file stays in use.
   */
  async compact(snapshot: Iterable<unknown>): Promise<void> {
    if (this.#since) throw new Error("the journal is being written anew already");
    const since: string[] = [];
    this.#since = since;
    try {
      const next = await this.#writeNew(snapshot);
      await this.#alone(() => this.#switch(next, since));
    } finally {
      if (this.#since === since) this.#since = undefined;
    }
  }

  /** @throws the system's error; then the line may be on disk or not, and no other is taken until it is written anew. */
  append(content: unknown, durable = true): Promise<void> {
    return new Promise((resolve, reject) => {
      const text = textOf(content);
      if (!this.#broken) this.#since?.push(text);
      this.#waiting.push({ text, durable, resolve, reject });
      this.#start();
    });
  }

  async close(): Promise<void> {
    clearTimeout(this.#syncTimer);
    await this.#running;
    await this.#turn.catch(() => {});
    if (this.#syncTimer) await this.#file?.datasync().catch(() => {});
    clearTimeout(this.#syncTimer);
    this.#syncTimer = undefined;
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
  }

  #start(): void {
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    // Appends of one turn share the first fsync.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#alone(() => this.#writeBatch());
    // At once: whoever appends next must not rely on a run that is over.
    this.#running = undefined;
  }

  async #writeBatch(): Promise<void> {
    const batch = this.#waiting.splice(0);
    if (batch.length === 0) return;
    try {
      if (this.#broken || !this.#file) throw new Error("the journal has to be written anew first");
      await this.#put(this.#file, Buffer.from(batch.map(({ text }) => text).join("")));
      if (batch.some(({ durable }) => durable)) await this.#sync(this.#file);
      else this.#syncLater();
      for (const { resolve } of batch) resolve();
    } catch (error) {
      this.#broken = true;
      // They are neither in the old file nor wanted in the new one.
      this.#since = undefined;
      for (const { reject } of batch) reject(error);
    }
  }

  async #put(file: FileHandle, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, at);
      at += bytesWritten;
    }
    this.#bytes += bytes.length;
  }

  async #sync(file: FileHandle): Promise<void> {
    clearTimeout(this.#syncTimer);
    this.#syncTimer = undefined;
    await file.datasync();
    this.#syncs++;
  }

  #syncLater(): void {
    if (this.#syncMs === 0 || this.#syncTimer) return;
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = undefined;
      void this.#alone(async () => {
        if (!this.#file || this.#broken) return;
        await this.#sync(this.#file).catch(() => {
          this.#broken = true;
        });
      });
    }, this.#syncMs);
  }

  async #writeNew(lines: Iterable<unknown>): Promise<{ file: FileHandle; bytes: number }> {
    const next = `${this.#path}.new`;
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    await rm(next, { force: true });
    const file = await open(next, "wx", 0o600);
    let bytes = 0;
    try {
      for (const chunk of chunked(lines)) {
        await file.appendFile(chunk);
        bytes += chunk.length;
      }
      return { file, bytes };
    } catch (error) {
      await file.close().catch(() => {});
      await rm(next, { force: true }).catch(() => {});
      throw error;
    }
  }

  async #switch(next: { file: FileHandle; bytes: number }, since: readonly string[]): Promise<void> {
    const waiting = this.#waiting.splice(0);
    try {
      if (this.#since !== since) throw new Error("a line could not be written meanwhile");
      const tail = Buffer.from(since.join(""));
      await next.file.appendFile(tail);
      await this.#become({ file: next.file, bytes: next.bytes + tail.length });
    } catch (error) {
      await next.file.close().catch(() => {});
      this.#waiting.unshift(...waiting);
      if (this.#waiting.length > 0) this.#start();
      throw error;
    } finally {
      this.#since = undefined;
    }
    // They are in the snapshot or behind it.
    for (const { resolve } of waiting) resolve();
  }

  async #become({ file, bytes }: { file: FileHandle; bytes: number }): Promise<void> {
    try {
      await file.datasync();
      await rename(`${this.#path}.new`, this.#path);
      await syncFolder(dirname(this.#path));
    } catch (error) {
      await file.close().catch(() => {});
      throw error;
    }
    await this.#file?.close().catch(() => {});
    this.#file = file;
    this.#bytes = bytes;
    this.#broken = false;
  }

  /** One at a time, in the order of the calls. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work, work);
    this.#turn = done.catch(() => {});
    return done;
  }
}

function textOf(content: unknown): string {
  const json = JSON.stringify(content);
  return `${checksum(json)} ${json}\n`;
}

function* chunked(lines: Iterable<unknown>): Generator<Buffer> {
  let texts: string[] = [];
  let held = 0;
  for (const line of lines) {
    const text = textOf(line);
    texts.push(text);
    held += text.length;
    if (held < CHUNK_BYTES) continue;
    yield Buffer.from(texts.join(""));
    texts = [];
    held = 0;
  }
  if (held > 0) yield Buffer.from(texts.join(""));
}

/** Undefined where there is nothing. */
function lineOf(pieces: readonly Buffer[], last: Buffer, held: number): JournalLine | undefined {
  const bytes = held + last.length;
  if (bytes === 0) return undefined;
  const text = bytes > MAX_LINE_BYTES ? "" : Buffer.concat([...pieces, last]).toString("utf8");
  const json = text.slice(9);
  if (text[8] !== " " || text.slice(0, 8) !== checksum(json)) return { kind: "damaged", bytes };
  try {
    return { kind: "line", content: JSON.parse(json) };
  } catch {
    return { kind: "damaged", bytes };
  }
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(8, "0");
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
