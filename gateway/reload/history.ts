import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { messageOf, StorageError } from "../core/errors.ts";
import { hashOf, replaceText, syncFolder } from "./config-file.ts";

/** What became of a text: it runs and was confirmed, it waits, it was taken back, or it was found so (edited by hand, or the first). */
const outcome = z.enum(["found", "waiting", "confirmed", "reverted"]);
const entry = z.strictObject({
  id: z.number().int().min(1),
  /** Unix milliseconds, as the gateway's clock was. */
  at: z.number(),
  by: z.string(),
  note: z.string(),
  outcome,
  /** Why it was confirmed or taken back. */
  why: z.string().optional(),
  sha256: z.string(),
  text: z.string(),
});
const pending = z.strictObject({
  /** The text that waits, and the one to go back to. */
  id: z.number(),
  before: z.number(),
  file: z.string(),
});

export type HistoryEntry = z.infer<typeof entry>;
export type Outcome = z.infer<typeof outcome>;
export type PendingNote = z.infer<typeof pending>;

const MOST = 50;
const ENTRY = /^(\d{6})\.json$/;

/**
 * The texts that the configuration file had, with who applied them: the folder `config-history` among the data. They hold what the file
 * holds, secrets too: only the gateway's user can read them.
 */
export class ConfigHistory {
  readonly #folder: string;
  readonly #wallMs: () => number;

  constructor(dataDir: string, wallMs: () => number) {
    this.#folder = join(dataDir, "config-history");
    this.#wallMs = wallMs;
  }

  /** The newest first; damaged ones are left out. */
  async list(): Promise<HistoryEntry[]> {
    const found = await Promise.all((await this.#ids()).map((id) => this.get(id)));
    return found.filter((one) => one !== undefined).reverse();
  }

  async get(id: number): Promise<HistoryEntry | undefined> {
    try {
      return entry.parse(JSON.parse(await readFile(this.#path(id), "utf8")));
    } catch {
      return undefined;
    }
  }

  /** The entry of the text that the file has now; made where somebody else wrote it. @throws StorageError. */
  async present(text: string): Promise<HistoryEntry> {
    const newest = (await this.list()).find(({ outcome }) => outcome !== "reverted");
    if (newest?.sha256 === hashOf(text)) return newest;
    return await this.add({ text, by: "", note: "", outcome: "found" });
  }

  /** @throws StorageError. */
  async add(given: Pick<HistoryEntry, "text" | "by" | "note" | "outcome">): Promise<HistoryEntry> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const ids = await this.#ids();
    const id = (ids.at(-1) ?? 0) + 1;
    const made = { id, at: this.#wallMs(), sha256: hashOf(given.text), ...given };
    await this.#write(made);
    for (const old of ids.slice(0, Math.max(0, ids.length + 1 - MOST))) await rm(this.#path(old), { force: true });
    return made;
  }

  /** @throws StorageError. */
  async close(id: number, became: Outcome, why: string): Promise<void> {
    const found = await this.get(id);
    if (found) await this.#write({ ...found, outcome: became, why });
  }

  /** A text waits for its confirmation: a start that finds this goes back. @throws StorageError. */
  async wait(note: PendingNote): Promise<void> {
    await replaceText(this.#pendingPath, `${JSON.stringify(note)}\n`);
  }

  async waiting(): Promise<PendingNote | undefined> {
    try {
      return pending.parse(JSON.parse(await readFile(this.#pendingPath, "utf8")));
    } catch {
      return undefined;
    }
  }

  /** Nothing waits any more. @throws StorageError. */
  async settle(): Promise<void> {
    try {
      await rm(this.#pendingPath, { force: true });
      await syncFolder(this.#folder);
    } catch (error) {
      throw new StorageError(`${this.#pendingPath} cannot be removed: ${messageOf(error)}`, { cause: error });
    }
  }

  get #pendingPath(): string {
    return join(this.#folder, "pending.json");
  }

  #path(id: number): string {
    return join(this.#folder, `${String(id).padStart(6, "0")}.json`);
  }

  async #write(one: HistoryEntry): Promise<void> {
    await replaceText(this.#path(one.id), `${JSON.stringify(one)}\n`);
  }

  async #ids(): Promise<number[]> {
    const names = await readdir(this.#folder).catch(() => []);
    return names.flatMap((name) => Number(ENTRY.exec(name)?.[1] ?? 0) || []).sort((a, b) => a - b);
  }
}
