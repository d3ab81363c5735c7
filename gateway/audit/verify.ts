import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type AuditEntry, filesIn, GENESIS, readLine, TRIM } from "./chain.ts";
import { readHead } from "./head.ts";

/** One place at which the chain does not hold. */
export interface AuditFault {
  readonly file: string;
  /** One-based; absent for what concerns a whole file. */
  readonly line?: number;
  readonly what: string;
}

export interface AuditReport {
  readonly entries: number;
  /** Seq of the first and the last entry; absent where there is none. */
  readonly from?: number;
  readonly to?: number;
  /** Hash of the last entry. */
  readonly head?: string;
  readonly faults: readonly AuditFault[];
  /** More faults than are named. */
  readonly more: number;
}

const MOST_FAULTS = 50;

/** Looks at the whole chain of a data folder's audit folder. `wanted` is a hash that has to be in it. @throws what the disk says. */
export async function verifyFolder(folder: string, wanted?: string): Promise<AuditReport> {
  const check = new ChainCheck(wanted);
  for (const name of await filesIn(folder)) await check.file(join(folder, name), name);
  return check.report(await readHead(folder), join(folder, "head.json"));
}

/** Looks at one file, such as an export; it may begin anywhere. @throws what the disk says. */
export async function verifyFile(path: string, wanted?: string): Promise<AuditReport> {
  const check = new ChainCheck(wanted);
  await check.file(path, path);
  return check.report(undefined, path, false);
}

class ChainCheck {
  readonly #wanted: string | undefined;
  readonly #faults: AuditFault[] = [];
  #more = 0;
  #entries = 0;
  #first: AuditEntry | undefined;
  #firstAt: AuditFault | undefined;
  #last: AuditEntry | undefined;
  #seen = false;
  /** The line before could not be read: what follows cannot be compared with it. */
  #broken = false;
  /** `SEQ HASH` that entries tell were removed. */
  readonly #trimmed = new Set<string>();

  constructor(wanted: string | undefined) {
    this.#wanted = wanted;
  }

  async file(path: string, shown: string): Promise<void> {
    // Only at line feeds: other line ends may stand inside an entry.
    const lines = (await readFile(path, "utf8")).split("\n");
    if (lines.at(-1) === "") lines.pop();
    for (const [index, line] of lines.entries()) this.#line(line, { file: shown, line: index + 1 });
  }

  report(
    head: { readonly seq: number; readonly hash: string } | undefined,
    headFile: string,
    whole = true,
  ): AuditReport {
    if (whole) this.#ends(head, headFile);
    if (this.#wanted !== undefined && !this.#seen)
      this.#fault({ file: headFile, what: `no entry has the hash ${this.#wanted}: the chain was made anew or cut` });
    return {
      entries: this.#entries,
      ...(this.#first && { from: this.#first.seq }),
      ...(this.#last && { to: this.#last.seq, head: this.#last.hash }),
      faults: this.#faults,
      more: this.#more,
    };
  }

  #line(line: string, at: { readonly file: string; readonly line: number }): void {
    const entry = readLine(line);
    if ("fault" in entry) {
      this.#fault({ ...at, what: `${this.#place()}: ${entry.fault}` });
      this.#broken = true;
      return;
    }
    this.#entries++;
    this.#seen ||= entry.hash === this.#wanted;
    if (entry.action === TRIM && entry.actor === "gateway" && entry.target) this.#trimmed.add(entry.target);
    const last = this.#last;
    if (last === undefined) {
      this.#first = entry;
      this.#firstAt = { ...at, what: "" };
    } else this.#follows(last, entry, at);
    this.#broken = false;
    // What is out of order does not move the place from which the chain goes on.
    if (last === undefined || entry.seq > last.seq) this.#last = entry;
  }

  #follows(last: AuditEntry, entry: AuditEntry, at: { readonly file: string; readonly line: number }): void {
    const due = last.seq + 1;
    if (entry.seq <= last.seq)
      this.#fault({ ...at, what: `entry ${entry.seq} is out of order: it comes behind ${last.seq}` });
    else if (entry.seq > due && !(this.#broken && entry.seq === due + 1)) {
      const which = entry.seq === due + 1 ? `entry ${due} is` : `entries ${due} to ${entry.seq - 1} are`;
      this.#fault({ ...at, what: `${which} missing before entry ${entry.seq}` });
    } else if (entry.seq === due && entry.prev !== last.hash)
      this.#fault({ ...at, what: `entry ${entry.seq} does not follow entry ${last.seq}: one of them was replaced` });
  }

  #ends(head: { readonly seq: number; readonly hash: string } | undefined, headFile: string): void {
    const first = this.#first;
    const last = this.#last;
    if (first && this.#firstAt && !(first.seq === 1 && first.prev === GENESIS)) {
      if (!this.#trimmed.has(`${first.seq - 1} ${first.prev}`))
        this.#fault({
          ...this.#firstAt,
          what: `entries before ${first.seq} are missing, and no entry tells that they went`,
        });
    }
    if (head === undefined) {
      if (last)
        this.#fault({ file: headFile, what: "it is gone or cannot be read: what was cut off the end is not told" });
      return;
    }
    const end = last?.seq ?? 0;
    if (head.seq > end)
      this.#fault({ file: headFile, what: `entries ${end + 1} to ${head.seq} are missing at the end` });
    else if (head.seq === end && last && last.hash !== head.hash)
      this.#fault({ file: headFile, what: `the last entry, ${end}, is another one than was written` });
  }

  #place(): string {
    return this.#last === undefined ? "the first entry" : `the entry behind ${this.#last.seq}`;
  }

  #fault(fault: AuditFault): void {
    if (this.#faults.length < MOST_FAULTS) this.#faults.push(fault);
    else this.#more++;
  }
}
