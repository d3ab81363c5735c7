import { lstat, readdir, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Logger } from "../core/log.ts";
import type { Counter, Metrics } from "../core/metrics.ts";
import { makeFolder, namesIn, removeFolder, syncFolder } from "./files.ts";

const NUMBERED = /^(\d{8})-/;

export interface QuarantineParts {
  readonly dataDir: string;
  /** Bytes kept at most; 0 keeps nothing. */
  readonly maxBytes: number;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Where what is damaged is put, whole and unchanged, for whoever wants to look into it. Nothing in there is opened again.
 * Over its limit the oldest goes, told in the log and counted.
 */
export class Quarantine {
  readonly #parts: QuarantineParts;
  readonly #added: Counter;
  readonly #removed: Counter;

  constructor(parts: QuarantineParts) {
    this.#parts = parts;
    const { metrics } = parts;
    this.#added = metrics.counter("millrace_quarantine_added_total", "Damaged files and folders put into quarantine");
    this.#removed = metrics.counter("millrace_quarantine_removed_total", "What left quarantine for want of room there");
  }

  /** Moves a folder or file there, durably, and gives its new place. @throws the system's error: it is where it was. */
  async add(path: string): Promise<string> {
    const { dataDir } = this.#parts;
    const home = join(dataDir, "quarantine");
    await makeFolder(home);
    const names = await namesIn(home);
    // By number, since the clock may be wrong.
    const last = Math.max(0, ...names.map(numberOf));
    const place = join(home, `${String(last + 1).padStart(8, "0")}-${basename(dirname(path))}-${basename(path)}`);
    await rename(path, place);
    await syncFolder(dirname(path));
    await syncFolder(home);
    this.#added.inc();
    await this.#trim(home).catch((error: unknown) => {
      this.#parts.log.warn({ reason: String(error) }, "quarantine not trimmed");
    });
    return place;
  }

  async #trim(home: string): Promise<void> {
    const { maxBytes, log } = this.#parts;
    const names = (await namesIn(home)).sort((a, b) => numberOf(a) - numberOf(b) || a.localeCompare(b));
    const sizes = await Promise.all(names.map((name) => bytesIn(join(home, name))));
    let bytes = sizes.reduce((sum, size) => sum + size, 0);
    for (const [index, name] of names.entries()) {
      if (bytes <= maxBytes) return;
      await removeFolder(join(home, name));
      bytes -= sizes[index] ?? 0;
      this.#removed.inc();
      log.warn({ name, bytes: sizes[index], maxBytes }, "quarantine is full, the oldest in it was removed");
    }
  }
}

/** What an earlier version put there has no number and is the oldest. */
function numberOf(name: string): number {
  return Number(NUMBERED.exec(name)?.[1] ?? 0);
}

async function bytesIn(path: string): Promise<number> {
  const found = await lstat(path).catch(() => undefined);
  if (!found?.isDirectory()) return found?.size ?? 0;
  const inside = await Promise.all((await readdir(path)).map((name) => bytesIn(join(path, name))));
  return inside.reduce((sum, size) => sum + size, 0);
}
