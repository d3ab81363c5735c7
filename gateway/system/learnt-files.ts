import { createHash } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { z } from "zod";
import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { LearntEntry, LearntKey, LearntStore } from "../core/learnt.ts";
import type { Logger } from "../core/log.ts";

/** What is learnt in a burst is written once. */
const SETTLE_MS = 1_000;
/** How soon a running gateway notices that a file was removed. */
const WATCH_MS = 5_000;
const FOLDER = ["state", "learnt"];

const fileSchema = z.object({
  crc: z.number(),
  entry: z.object({
    driver: z.string(),
    link: z.string(),
    device: z.string(),
    identity: z.string(),
    content: z.unknown(),
    savedAt: z.number(),
  }),
});

/** One JSON file for each device in `<dataDir>/state/learnt`; a removed file is a wish to forget. */
export class LearntFiles implements LearntStore {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #watchMs: number;
  readonly #entries = new Map<string, LearntEntry>();
  readonly #onDisk = new Set<string>();
  readonly #dirty = new Set<string>();
  readonly #forget = new Map<string, () => void>();
  #timer: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();
  #failed = false;

  constructor(dataDir: string, clock: Clock, log: Logger, watchMs = WATCH_MS) {
    this.#watchMs = watchMs;
    this.#folder = join(dataDir, ...FOLDER);
    this.#clock = clock;
    this.#log = log;
  }

  /** Reads what is there. Never rejects: what cannot be read is learnt again. */
  async start(): Promise<void> {
    const { entries, damaged } = await this.#read();
    for (const [file, entry] of entries) {
      this.#entries.set(file, entry);
      this.#onDisk.add(file);
    }
    for (const file of damaged) this.#log.warn({ file }, "what was learnt about a device is damaged; learning again");
    // What could not be written is tried again, too.
    this.#watch = setInterval(
      () => this.#queue(() => (this.#dirty.size > 0 ? this.#write() : this.#look())),
      this.#watchMs,
    );
    this.#watch.unref();
  }

  async #read(): Promise<Awaited<ReturnType<typeof readLearnt>>> {
    try {
      return await readLearnt(this.#folder);
    } catch (error) {
      this.#log.warn({ error: messageOf(error) }, "what was learnt about devices cannot be read; learning again");
      return { entries: new Map(), damaged: [] };
    }
  }

  /** Writes what is not yet on disk. Idempotent, never rejects. */
  async stop(): Promise<void> {
    clearInterval(this.#watch);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#queue(() => this.#write());
    await this.#work;
  }

  load(key: LearntKey): unknown {
    return this.#entries.get(fileOf(key))?.content;
  }

  save(key: LearntKey, content: unknown): void {
    const { driver, link, device, identity } = key;
    const file = fileOf(key);
    this.#entries.set(file, { driver, link, device, identity, content, savedAt: this.#clock.now().wallMs });
    this.#dirty.add(file);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#queue(() => this.#write());
    }, SETTLE_MS).unref();
  }

  onReset(key: LearntKey, forget: () => void): void {
    this.#forget.set(fileOf(key), forget);
  }

  #queue(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error: unknown) => {
      if (!this.#failed) this.#log.warn({ error: messageOf(error) }, "what was learnt about devices cannot be kept");
      this.#failed = true;
    });
  }

  async #write(): Promise<void> {
    if (this.#dirty.size === 0) return;
    await mkdir(this.#folder, { recursive: true });
    await this.#look();
    for (const file of [...this.#dirty]) {
      const entry = this.#entries.get(file);
      this.#dirty.delete(file);
      if (!entry) continue;
      try {
        await replace(join(this.#folder, file), encode(entry));
      } catch (error) {
        this.#dirty.add(file);
        throw error;
      }
      this.#onDisk.add(file);
    }
    this.#failed = false;
  }

  /** Forgets what somebody removed. */
  async #look(): Promise<void> {
    const present = new Set(await namesIn(this.#folder));
    for (const file of [...this.#onDisk]) {
      if (present.has(file)) continue;
      this.#onDisk.delete(file);
      this.#dirty.delete(file);
      const entry = this.#entries.get(file);
      this.#entries.delete(file);
      this.#forget.get(file)?.();
      this.#log.info({ device: entry?.device }, "what was learnt about a device was reset");
    }
  }
}

/** What was learnt, as it is on disk, by the name of its file. A gateway may be running. */
export async function learntIn(dataDir: string): Promise<{ path: string; entry: LearntEntry }[]> {
  const folder = join(dataDir, ...FOLDER);
  const { entries } = await readLearnt(folder);
  return [...entries].map(([file, entry]) => ({ path: join(folder, file), entry }));
}

/** A store that knows what is on disk and keeps nothing new: for plans without a gateway. */
export async function readOnlyLearnt(dataDir: string): Promise<LearntStore> {
  const { entries } = await readLearnt(join(dataDir, ...FOLDER)).catch(() => ({
    entries: new Map<string, LearntEntry>(),
  }));
  return { load: (key) => entries.get(fileOf(key))?.content, save() {}, onReset() {} };
}

/** Makes a gateway forget, running or not. */
export async function removeLearnt(path: string): Promise<void> {
  await rm(path, { force: true });
}

async function readLearnt(folder: string): Promise<{ entries: Map<string, LearntEntry>; damaged: string[] }> {
  const entries = new Map<string, LearntEntry>();
  const damaged: string[] = [];
  for (const file of await namesIn(folder)) {
    if (!file.endsWith(".json")) continue;
    const entry = decode(await readFile(join(folder, file), "utf8").catch(() => ""));
    if (entry && fileOf(entry) === file) entries.set(file, entry);
    else damaged.push(file);
  }
  return { entries, damaged };
}

/** The device's name for people, and what tells it from every other one. */
function fileOf({ driver, link, device, identity }: LearntKey): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([driver, link, device, identity]))
    .digest("hex");
  return `${device.replaceAll(/[^\w-]/g, "_").slice(0, 60)}-${hash.slice(0, 16)}.json`;
}

function encode({ driver, link, device, identity, content, savedAt }: LearntEntry): string {
  const body = JSON.stringify({ driver, link, device, identity, content, savedAt });
  return `{"crc":${crc32(body)},"entry":${body}}\n`;
}

function decode(text: string): LearntEntry | undefined {
  try {
    const { crc, entry } = fileSchema.parse(JSON.parse(text));
    return crc32(JSON.stringify(entry)) === crc ? entry : undefined;
  } catch {
    return undefined;
  }
}

async function replace(path: string, text: string): Promise<void> {
  const next = `${path}.new`;
  const handle = await open(next, "w");
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(next, path);
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
