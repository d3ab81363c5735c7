import { type FileHandle, mkdir, open, readFile, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import type { AuditEvent, Auditor } from "../core/audit.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Counter, Metrics } from "../core/metrics.ts";
import {
  type AuditEntry,
  auditFolder,
  fileName,
  filesIn,
  GENESIS,
  type Head,
  lineOf,
  readLine,
  TRIM,
} from "./chain.ts";
import { readHead, writeHead } from "./head.ts";
import { type AuditReport, verifyFolder } from "./verify.ts";

/** One file at most, and files at most: 64 MiB, about 200,000 entries. */
const FILE_BYTES = 4 * 1024 * 1024;
const FILES = 16;
/** What waits for the disk; beyond it entries are counted and not kept. */
const MOST_WAITING = 10_000;

export interface AuditJournalParts {
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly limits?: { readonly fileBytes: number; readonly files: number };
}

const NOTHING = { names: [], told: [] };

interface Waiting {
  readonly event: AuditEvent;
  readonly done: () => void;
}

/**
 * The audit trail: lines of JSON in `<dataDir>/state/audit`, each with the hash of the one before, fsynced, in files that are
 * only appended to. The oldest file goes when there are too many; the chain says so.
 */
export class AuditJournal implements Auditor {
  readonly #parts: AuditJournalParts;
  readonly #folder: string;
  readonly #entries: Counter;
  readonly #missed: Counter;
  #head: Head = { seq: 0, hash: GENESIS };
  #file: FileHandle | undefined;
  #bytes = 0;
  #waiting: Waiting[] = [];
  #work: Promise<void> = Promise.resolve();
  #writing = false;
  #open = false;
  /** Entries that no disk took. */
  #lost = 0;

  constructor(parts: AuditJournalParts) {
    this.#parts = parts;
    this.#folder = auditFolder(parts.dataDir);
    this.#entries = parts.metrics.counter("millrace_audit_entries_total", "Entries of the audit trail.", []);
    this.#missed = parts.metrics.counter(
      "millrace_audit_missed_total",
      "Entries of the audit trail that the disk did not take.",
      [],
    );
  }

  /** Goes on with the chain that is there. Never rejects: without a disk the gateway runs on, and says so. */
  async start(): Promise<void> {
    if (this.#open) return;
    this.#open = true;
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await this.#goOn();
      this.#parts.log.info({ entries: this.#head.seq, hash: this.#head.hash }, "audit trail goes on");
    } catch (error) {
      this.#parts.log.error({ error: messageOf(error) }, "the audit trail cannot be read");
    }
  }

  record(event: AuditEvent): Promise<void> {
    if (!this.#open || this.#waiting.length >= MOST_WAITING) {
      this.#miss(1);
      return Promise.resolve();
    }
    return new Promise((done) => {
      this.#waiting.push({ event, done });
      if (!this.#writing) {
        this.#writing = true;
        this.#work = this.#write();
      }
    });
  }

  /** The newest entries, newest first: at most `limit`, those before `before`. @throws what the disk says. */
  async newest(limit: number, before = Number.POSITIVE_INFINITY): Promise<AuditEntry[]> {
    const found: AuditEntry[] = [];
    for (const name of (await filesIn(this.#folder)).reverse()) {
      const lines = (await readFile(join(this.#folder, name), "utf8")).split("\n");
      for (const line of lines.reverse()) {
        if (line === "") continue;
        const entry = readLine(line);
        if ("fault" in entry || entry.seq >= before) continue;
        found.push(entry);
        if (found.length >= limit) return found;
      }
    }
    return found;
  }

  /** All of it as it lies on disk, oldest first, in pieces. */
  async *export(): AsyncGenerator<Uint8Array> {
    for (const name of await filesIn(this.#folder)) yield await readFile(join(this.#folder, name));
  }

  /** Whether the chain holds, and where it does not. What is being written is waited for. @throws what the disk says. */
  async verify(): Promise<AuditReport> {
    await this.#work;
    return await verifyFolder(this.#folder);
  }

  /** Writes what waits. Idempotent, never rejects. */
  async stop(): Promise<void> {
    this.#open = false;
    await this.#work;
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
  }

  /** Where the chain ends; a line that was cut short by a kill was never acknowledged, and goes. */
  async #goOn(): Promise<void> {
    const head = await readHead(this.#folder);
    const found = await this.#newestFile();
    if (found === undefined) {
      if (head) await this.#odd("the audit files are gone", head);
      return;
    }
    const { name, whole, last } = found;
    const path = join(this.#folder, name);
    const entry = readLine(last);
    if ("fault" in entry) {
      await this.#odd(`the last line of ${name} is damaged: ${entry.fault}`, head ?? this.#head);
      return;
    }
    this.#head = { seq: entry.seq, hash: entry.hash };
    if (head && head.seq > entry.seq) {
      await this.#odd(`the audit trail ends at ${entry.seq} and went up to ${head.seq}`, head);
      return;
    }
    this.#file = await open(path, "a", 0o600);
    this.#bytes = whole;
  }

  /** The newest file that holds anything, how long its whole lines are, and the last of them. */
  async #newestFile(): Promise<{ readonly name: string; readonly whole: number; readonly last: string } | undefined> {
    for (const name of (await filesIn(this.#folder)).reverse()) {
      const path = join(this.#folder, name);
      const bytes = await readFile(path);
      const whole = bytes.lastIndexOf(0x0a) + 1;
      if (whole < bytes.length) {
        await truncate(path, whole);
        this.#parts.log.warn({ bytes: bytes.length - whole }, "the audit trail ended in the middle of a line");
      }
      const last = bytes.subarray(0, whole).toString("utf8").trimEnd().split("\n").at(-1) ?? "";
      if (last !== "") return { name, whole, last };
    }
    return undefined;
  }

  /** Somebody was at the files: what is left stays as it is, and the chain goes on in a new file. */
  #odd(what: string, head: Head): Promise<void> {
    this.#parts.log.error({ what }, "the audit trail was tampered with or damaged; millrace audit verify tells where");
    this.#head = head;
    return this.record({ actor: "gateway", action: "audit.damaged", outcome: "failed", detail: what });
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#append(this.#told(batch.map(({ event }) => event)));
        this.#entries.inc({}, batch.length);
      } catch (error) {
        await this.#takeBack();
        this.#miss(batch.length);
        this.#parts.log.error({ error: messageOf(error), entries: batch.length }, "the audit trail cannot be written");
      }
      for (const { done } of batch) done();
    }
    this.#writing = false;
  }

  /** With what could not be written before. */
  #told(events: readonly AuditEvent[]): AuditEvent[] {
    if (this.#lost === 0) return [...events];
    const detail = `${this.#lost} entries could not be written`;
    return [{ actor: "gateway", action: "audit.missed", outcome: "failed", detail }, ...events];
  }

  async #append(events: readonly AuditEvent[]): Promise<void> {
    const { fileBytes = FILE_BYTES } = this.#parts.limits ?? {};
    if (this.#bytes >= fileBytes) await this.#rotate();
    const { names: surplus, told } = this.#file === undefined ? await this.#surplus() : NOTHING;
    let head = this.#head;
    let text = "";
    const now = this.#parts.clock.now();
    for (const event of [...told, ...events]) {
      const next = lineOf(head, event, now);
      text += `${next.line}\n`;
      head = next.head;
    }
    this.#file ??= await this.#fresh();
    await this.#file.appendFile(text);
    await this.#file.datasync();
    this.#bytes += Buffer.byteLength(text);
    this.#head = head;
    this.#lost = 0;
    // The entries are on disk: without the note only a cut at the end would be missed later.
    await writeHead(this.#folder, head).catch((error: unknown) =>
      this.#parts.log.warn({ error: messageOf(error) }, "the end of the audit trail cannot be noted"),
    );
    for (const name of surplus) await rm(join(this.#folder, name), { force: true });
  }

  async #rotate(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
    this.#bytes = 0;
  }

  /**
   * A name that nobody has. Where a write failed half-way the file of that name may hold half a line, and is set up anew: none
   * of it was acknowledged.
   */
  async #fresh(): Promise<FileHandle> {
    const name = fileName(this.#head.seq + 1);
    const file = await open(join(this.#folder, name), "w", 0o600);
    const folder = await open(this.#folder, "r");
    await folder.sync().finally(() => folder.close());
    this.#bytes = 0;
    return file;
  }

  /** Files that are too many once there is a new one, and the entry that tells that they go. */
  async #surplus(): Promise<{ readonly names: readonly string[]; readonly told: readonly AuditEvent[] }> {
    const { files = FILES } = this.#parts.limits ?? {};
    const all = await filesIn(this.#folder);
    const names = all.slice(0, Math.max(0, all.length - files + 1));
    const last = names.at(-1);
    if (last === undefined) return NOTHING;
    const entry = readLine((await readFile(join(this.#folder, last), "utf8")).trimEnd().split("\n").at(-1) ?? "");
    if ("fault" in entry) return { names, told: [] };
    return {
      names,
      told: [{ actor: "gateway", action: TRIM, target: `${entry.seq} ${entry.hash}`, outcome: "ok" }],
    };
  }

  /** Half a batch must not stay: none of it was acknowledged, and its numbers are given again. */
  async #takeBack(): Promise<void> {
    try {
      await this.#file?.truncate(this.#bytes);
    } catch {
      await this.#file?.close().catch(() => {});
      this.#file = undefined;
    }
  }

  #miss(count: number): void {
    this.#lost += count;
    this.#missed.inc({}, count);
  }
}
