import { link, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, messageOf, StorageError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { JournalFile } from "../host/journal-file.ts";
import { FORMAT_VERSION, readLine, type SessionLine } from "./session-lines.ts";
import { type Mark, SessionMark } from "./session-mark.ts";
import type { SessionStore } from "./session-store.ts";

/** Takes the changes of the sessions. */
export interface Journal {
  /** Resolves when the line is written, a durable one when it is on disk. @throws StorageError */
  append(line: SessionLine, durable: boolean): Promise<void>;
}

type Counts = Omit<Mark, "first" | "next">;

/** What the journal of the last life had lost. */
export interface JournalLoss {
  /** Lines that are missing or cannot be read, as far as it can be told. */
  readonly lines: number;
  /** The journal ends before what was on disk once. */
  readonly cut: boolean;
  /** What there was by the last mark, and what there is now. */
  readonly before?: Counts;
  readonly now: Counts;
  /** Where the damaged file is. */
  readonly aside?: string;
}

export interface SessionJournalParts {
  readonly folder: string;
  readonly store: SessionStore;
  /** Milliseconds for which a line that is not durable may wait for its fsync. */
  readonly syncMs: number;
  readonly wallMs: () => number | undefined;
  readonly monoMs: () => number;
  readonly log: Logger;
}

/** The file is written anew when it is twice what it was then and this much more. */
const SPARE_BYTES = 1024 * 1024;
const MEND_AGAIN_MS = 1000;

interface Scan {
  first: number | undefined;
  last: number | undefined;
  good: number;
  bad: number;
  torn: boolean;
}

/**
 * The sessions on disk: an append-only file that is replayed at the start and written anew when it has become long. It
 * starts whatever is left of the file, and says what it lost.
 */
export class SessionJournal implements Journal {
  readonly #parts: SessionJournalParts;
  readonly #path: string;
  readonly #file: JournalFile;
  readonly #mark: SessionMark;
  #firstIndex = 0;
  #nextIndex = 0;
  #compactAt = SPARE_BYTES;
  #compacting: Promise<void> | undefined;
  #mending: Promise<void> | undefined;
  #mendFailedMs: number | undefined;
  #said = false;

  constructor(parts: SessionJournalParts) {
    this.#parts = parts;
    this.#path = join(parts.folder, "broker-sessions");
    this.#file = new JournalFile(this.#path, parts.syncMs);
    this.#mark = new SessionMark(`${this.#path}.mark`);
  }

  /** False while the disk refuses. */
  get healthy(): boolean {
    return !this.#file.broken;
  }
  get bytes(): number {
    return this.#file.bytes;
  }
  get syncs(): number {
    return this.#file.syncs;
  }

  /**
   * Reads what is there into the store. @returns what is missing, undefined when nothing is.
   * @throws StorageError when nothing can be written; ConfigError when a newer version wrote it, which stays untouched.
   */
  async open(): Promise<JournalLoss | undefined> {
    const { store, wallMs } = this.#parts;
    const mark = await this.#mark.read();
    const scan = await this.#scan();
    const { lines, cut } = lossOf(scan, mark);
    const isDamaged = lines > 0 || scan.bad > 0;
    // Whether a packet identifier was released is not known any more; a message that is taken for an old one would be lost.
    if (isDamaged) for (const session of store.sessions.values()) session.incoming.clear();
    store.replayed(wallMs());
    const aside = isDamaged ? await this.#setAside() : undefined;
    this.#nextIndex = Math.max(scan.last ?? 0, mark?.next ?? 0) + 1;
    try {
      const { size, lines: all } = store.snapshot();
      this.#firstIndex = this.#nextIndex - size;
      await this.#file.replace(numbered(all(), this.#firstIndex));
    } catch (error) {
      throw new StorageError(`the sessions of local clients cannot be written: ${messageOf(error)}`, { cause: error });
    }
    this.#compactAt = 2 * this.#file.bytes + SPARE_BYTES;
    this.#markNow(this.#nextIndex);
    if (scan.torn && !isDamaged) {
      this.#parts.log.info(
        { file: this.#path },
        "the last line of the sessions was not written to its end; it was not acknowledged",
      );
    }
    if (!isDamaged) return undefined;
    const before = mark && { sessions: mark.sessions, messages: mark.messages, retained: mark.retained };
    return { lines, cut, now: this.#counts(), ...(before && { before }), ...(aside !== undefined && { aside }) };
  }

  async append(line: SessionLine, durable: boolean): Promise<void> {
    if (this.#file.broken) {
      const mending = this.#mending;
      // What this line tells is in the store, and so in what is written anew.
      if (!mending) return this.#mend();
      await mending;
    }
    const index = this.#nextIndex++;
    try {
      await this.#file.append({ i: index, ...line }, durable);
    } catch (error) {
      this.#tellBroken(error);
      throw new StorageError(`the sessions of local clients cannot be written: ${messageOf(error)}`, { cause: error });
    }
    if (durable) this.#markNow(index + 1);
    if (this.#file.bytes > this.#compactAt) this.#compact();
  }

  /** Resolves when everything appended so far has settled. Never rejects. */
  async close(): Promise<void> {
    await this.#compacting;
    await this.#mending?.catch(() => {});
    await this.#file.close();
    if (!this.#file.broken) this.#markNow(this.#nextIndex);
    await this.#mark.close();
  }

  async #scan(): Promise<Scan> {
    // What cannot be read at the end was being written when the power went, unless the mark knows better.
    let tail = 0;
    const scan: Scan = { first: undefined, last: undefined, good: 0, bad: 0, torn: false };
    try {
      for await (const found of this.#file.scan()) {
        const read = found.kind === "line" ? readLine(found.content) : undefined;
        if (read?.line.k === "head" && read.line.version > FORMAT_VERSION) {
          throw new ConfigError(`${this.#path} was written by a newer version of millrace; install that one again`);
        }
        if (found.kind === "torn") tail++;
        else if (!read) tail++;
        else {
          scan.bad += tail;
          tail = 0;
          scan.first ??= read.line.k === "head" ? read.index : read.index - 1;
          scan.last = read.index;
          scan.good++;
          this.#parts.store.replay(read.line);
        }
      }
    } catch (error) {
      if (error instanceof ConfigError) throw error;
      this.#parts.log.error(
        { file: this.#path, error: messageOf(error) },
        "the sessions of local clients cannot be read",
      );
      scan.bad++;
    }
    scan.torn = tail > 0;
    // A file without one good line is none of ours.
    if (scan.good === 0) scan.bad += tail;
    return scan;
  }

  async #setAside(): Promise<string | undefined> {
    const aside = `${this.#path}.damaged`;
    try {
      await rm(aside, { recursive: true, force: true });
      if ((await stat(this.#path)).isFile()) await link(this.#path, aside);
      else await rename(this.#path, aside);
      return aside;
    } catch {
      return undefined;
    }
  }

  /** Once for all who wait. @throws StorageError, at once when it failed a moment ago. */
  #mend(): Promise<void> {
    const { monoMs, log } = this.#parts;
    if (this.#mendFailedMs !== undefined && monoMs() - this.#mendFailedMs < MEND_AGAIN_MS) {
      return Promise.reject(new StorageError("the sessions of local clients cannot be written at present"));
    }
    this.#mending = (this.#compacting ?? Promise.resolve())
      .then(() => this.#rewrite())
      .then(() => {
        this.#mendFailedMs = undefined;
        this.#said = false;
        log.info({ file: this.#path }, "the sessions of local clients are on disk again");
      })
      .catch((error: unknown) => {
        this.#mendFailedMs = monoMs();
        throw new StorageError(`the sessions of local clients cannot be written: ${messageOf(error)}`, {
          cause: error,
        });
      })
      .finally(() => {
        this.#mending = undefined;
      });
    return this.#mending;
  }

  #compact(): void {
    if (this.#compacting || this.#mending || this.#file.broken) return;
    this.#compacting = this.#rewrite()
      .catch((error: unknown) => {
        this.#compactAt = this.#file.bytes + SPARE_BYTES;
        this.#parts.log.warn({ file: this.#path, error: messageOf(error) }, "the sessions could not be written anew");
      })
      .finally(() => {
        this.#compacting = undefined;
      });
  }

  async #rewrite(): Promise<void> {
    const { size, lines } = this.#parts.store.snapshot();
    const next = this.#nextIndex;
    await this.#file.compact(numbered(lines(), next - size));
    this.#firstIndex = next - size;
    this.#compactAt = 2 * this.#file.bytes + SPARE_BYTES;
    this.#markNow(next);
  }

  #markNow(next: number): void {
    this.#mark.write({ first: this.#firstIndex, next, ...this.#counts() });
  }

  #counts(): Counts {
    const { sessions, tally, retained } = this.#parts.store;
    return { sessions: sessions.size, messages: tally.messages, retained: retained.size };
  }

  #tellBroken(error: unknown): void {
    if (this.#said) return;
    this.#said = true;
    this.#parts.log.error(
      { file: this.#path, error: messageOf(error) },
      "the sessions of local clients cannot be written; what is for them is not acknowledged",
    );
  }
}

function* numbered(lines: Iterable<SessionLine>, first: number): Generator<object> {
  let index = first;
  for (const line of lines) yield { i: index++, ...line };
}

function lossOf({ first, last, good }: Scan, mark: Mark | undefined): { lines: number; cut: boolean } {
  if (first === undefined || last === undefined) {
    const had = mark !== undefined && mark.sessions + mark.messages + mark.retained > 0;
    return { lines: had ? mark.next - mark.first : 0, cut: had };
  }
  const missing = Math.max(0, last - first + 1 - good);
  const after = mark === undefined ? 0 : Math.max(0, mark.next - 1 - last);
  return { lines: missing + after, cut: after > 0 };
}
