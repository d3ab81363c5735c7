import { Buffer } from "node:buffer";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Clock } from "../core/clock.ts";
import type { DeadLetterStats, DeadLetters } from "../core/dead-letters.ts";
import { messageOf, StorageError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Counter, Gauge, Metrics } from "../core/metrics.ts";
import type { Entry } from "../core/record.ts";
import { storedLine } from "./encoders/stored.ts";

/** The cap is kept by taking whole files away: an eighth of it at a time. */
const FILES = 8;
const LEAST_FILE_BYTES = 4096;
const TIDY_MS = 3_600_000;
const FOLDER = "dead-letters";
const NAME = /^(\d{12})\.ndjson$/;

export interface DeadLetterSettings {
  readonly dataDir: string;
  readonly uplink: string;
  readonly gatewayId: string;
  readonly maxBytes: number;
  readonly maxAgeMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

interface Segment {
  readonly number: number;
  bytes: number;
  records: number;
  /** Wall time of the first and of the last record; 0 while unknown. */
  firstMs: number;
  lastMs: number;
}

/**
 * Dead letters of one uplink, in `<dataDir>/dead-letters/<uplink>`: lines of JSON with the reason, the time and the whole record,
 * in files that are only appended to. Capped by bytes and by age, the oldest go first. A record may be there twice, where the
 * gateway was killed before its cursor was written.
 */
export class DeadLetterFiles implements DeadLetters {
  readonly #settings: DeadLetterSettings;
  readonly #folder: string;
  readonly #total: Counter;
  readonly #bytes: Gauge;
  readonly #segments: Segment[] = [];
  #file: FileHandle | undefined;
  #dropped = 0;
  #work: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(settings: DeadLetterSettings) {
    this.#settings = settings;
    this.#folder = deadLetterFolder(settings.dataDir, settings.uplink);
    this.#total = settings.metrics.counter("millrace_uplink_dead_letters_total", "Records kept as dead letters.", [
      "uplink",
    ]);
    // A row that begins with 1 is no increase to who watches.
    this.#total.inc({ uplink: settings.uplink }, 0);
    this.#bytes = settings.metrics.gauge("millrace_uplink_dead_letter_bytes", "Bytes of dead letters kept.", [
      "uplink",
    ]);
  }

  /** Looks at what is there. Never rejects: what cannot be read is only not counted. */
  async start(): Promise<void> {
    try {
      for (const number of await filesIn(this.#folder)) this.#segments.push(await this.#look(number));
    } catch (error) {
      this.#settings.log.warn({ error: messageOf(error) }, "dead letters cannot be read");
    }
    await this.#tidy();
    this.#timer = setInterval(() => {
      this.#work = this.#work.then(() => this.#tidy());
    }, TIDY_MS);
    this.#timer.unref();
  }

  add(entries: readonly Entry[], reason: string): Promise<void> {
    const done = this.#work.then(() => this.#add(entries, reason));
    this.#work = done.catch(() => {});
    return done;
  }

  stats(): DeadLetterStats {
    const sum = (pick: (segment: Segment) => number) => this.#segments.reduce((n, segment) => n + pick(segment), 0);
    const oldestMs = this.#segments.find(({ firstMs }) => firstMs > 0)?.firstMs;
    return {
      records: sum(({ records }) => records),
      bytes: sum(({ bytes }) => bytes),
      ...(oldestMs === undefined ? {} : { oldestMs }),
      dropped: this.#dropped,
    };
  }

  /** Idempotent, never rejects. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#work;
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
  }

  async #add(entries: readonly Entry[], reason: string): Promise<void> {
    const { uplink, gatewayId, clock } = this.#settings;
    const at = Math.round(clock.now().wallMs);
    const head = `{"at":${at},"uplink":${JSON.stringify(uplink)},"reason":${JSON.stringify(reason)},`;
    const lines = entries.map((entry) => `${head}${storedLine(entry, gatewayId).slice(1)}\n`).join("");
    try {
      const segment = await this.#segment();
      await this.#file?.appendFile(lines);
      await this.#file?.datasync();
      segment.bytes += Buffer.byteLength(lines);
      segment.records += entries.length;
      segment.firstMs ||= at;
      segment.lastMs = at;
    } catch (error) {
      // What it holds now is not known: the next record begins another file.
      await this.#file?.close().catch(() => {});
      this.#file = undefined;
      throw new StorageError(`a dead letter cannot be kept: ${messageOf(error)}`, { cause: error });
    }
    this.#total.inc({ uplink }, entries.length);
    await this.#tidy();
  }

  async #tidy(): Promise<void> {
    try {
      await this.#trim();
    } catch (error) {
      this.#settings.log.warn({ error: messageOf(error) }, "old dead letters cannot be removed");
    }
    this.#measure();
  }

  /** The file to append to. */
  async #segment(): Promise<Segment> {
    const last = this.#segments.at(-1);
    const most = Math.max(LEAST_FILE_BYTES, this.#settings.maxBytes / FILES);
    if (this.#file !== undefined && last !== undefined && last.bytes < most) return last;
    await this.#file?.close();
    this.#file = undefined;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const number = (last?.number ?? 0) + 1;
    this.#file = await open(join(this.#folder, nameOf(number)), "ax", 0o600);
    await syncFolder(this.#folder);
    await syncFolder(join(this.#folder, ".."));
    const segment = { number, bytes: 0, records: 0, firstMs: 0, lastMs: 0 };
    this.#segments.push(segment);
    return segment;
  }

  /** Never takes the file that is appended to. A clock that is not set makes nothing old. */
  async #trim(): Promise<void> {
    const { maxBytes, maxAgeMs, clock } = this.#settings;
    const now = clock.now();
    const tooOld = ({ lastMs }: Segment) =>
      now.clock === "synced" && lastMs > 0 && now.wallMs - lastMs > maxAgeMs && this.#segments.length > 1;
    for (;;) {
      const first = this.#segments[0];
      if (first === undefined || this.#segments.length < 2) return;
      if (this.stats().bytes <= maxBytes && !tooOld(first)) return;
      await rm(join(this.#folder, nameOf(first.number)), { force: true });
      this.#segments.shift();
      this.#dropped += first.records;
    }
  }

  async #look(number: number): Promise<Segment> {
    const path = join(this.#folder, nameOf(number));
    const { size } = await stat(path);
    const segment = { number, bytes: size, records: 0, firstMs: 0, lastMs: 0 };
    for await (const line of linesOf(path)) {
      segment.records++;
      segment.lastMs = Number(/^\{"at":(\d+)/.exec(line)?.[1] ?? segment.lastMs);
      segment.firstMs ||= segment.lastMs;
    }
    return segment;
  }

  #measure(): void {
    this.#bytes.set(this.stats().bytes, { uplink: this.#settings.uplink });
  }
}

export function deadLetterFolder(dataDir: string, uplink: string): string {
  // A name of dots would be another folder.
  return join(dataDir, FOLDER, /^\.+$/.test(uplink) ? uplink.replaceAll(".", "%2E") : uplink);
}

/** Uplinks that have dead letters, in a running gateway's data folder or a stopped one's. */
export async function uplinksWithDeadLetters(dataDir: string): Promise<string[]> {
  return (await entriesOf(join(dataDir, FOLDER))).sort();
}

/** The dead letters of one uplink, oldest first, one line of JSON each without its end. What was cut off is left out. */
export async function* deadLetterLines(dataDir: string, uplink: string): AsyncIterable<string> {
  const folder = deadLetterFolder(dataDir, uplink);
  for (const number of await filesIn(folder)) yield* linesOf(join(folder, nameOf(number)));
}

async function* linesOf(path: string): AsyncIterable<string> {
  const input = createReadStream(path, "utf8");
  // A file that goes away meanwhile was the oldest.
  input.on("error", () => {});
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (line.startsWith("{") && line.endsWith("}")) yield line;
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

async function filesIn(folder: string): Promise<number[]> {
  const numbers = (await entriesOf(folder)).map((name) => Number(NAME.exec(name)?.[1] ?? 0));
  return numbers.filter((number) => number > 0).sort((a, b) => a - b);
}

async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function nameOf(number: number): string {
  return `${String(number).padStart(12, "0")}.ndjson`;
}
