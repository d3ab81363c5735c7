import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { StringDecoder } from "node:string_decoder";
import { STREAMS, type StreamName } from "../../gateway/core/record.ts";

/** What a store holds when it is opened after a fault. */
export interface Found {
  readonly owed: readonly FoundRecord[];
  /** What was appended to see that it goes on. */
  readonly fresh: readonly FoundRecord[];
  readonly gaps: readonly FoundGap[];
}
export type FoundRecord = readonly [stream: StreamName, epoch: number, seq: number, token: string];
export interface FoundGap {
  readonly stream: StreamName;
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
  readonly reason: string;
  readonly count: number;
  readonly exact: boolean;
}

export interface Verdict {
  /** Acknowledged as durable, and not there. */
  readonly lost: string[];
  /** Acknowledged, and neither there nor in a gap. */
  readonly unreported: string[];
  /** Ids that stand for other bytes than before, and records with other bytes than were stored. */
  readonly reused: string[];
  /** Acknowledged before its fsync, not there, and in a gap: what a power cut may cost. */
  cut: number;
  /** Delivered before, and owed again. */
  duplicates: number;
}

interface Promised {
  readonly token: string;
  readonly durable: boolean;
}

/** What one program was promised and has delivered, in order of seq, for one stream and epoch. */
class Account {
  readonly ids = new Map<number, string>();
  readonly promised = new Map<number, Promised>();
  readonly delivered = new Set<number>();
  durableUpTo = 0;
}

/** Reads the report of test/faults/programs/queue-load.mjs and compares a store with it. */
export class Ledger {
  /** Told by the program itself: things that must not happen. */
  readonly wrong: string[] = [];
  acknowledged = 0;
  duplicates = 0;
  /** Newest log by stream, and its size at the last durable acknowledgement. */
  readonly logs = new Map<string, number>();
  readonly #accounts = new Map<string, Account>();
  readonly gapsTold: FoundGap[] = [];
  #file = "";
  #at = 0;

  /** Takes in what was appended to the report since the last call. What follows the last line break was cut off. */
  follow(file: string): void {
    if (this.#file !== file) this.#at = 0;
    this.#file = file;
    const fd = openSync(file, "r");
    try {
      const bytes = Buffer.alloc(fstatSync(fd).size - this.#at);
      readSync(fd, bytes, 0, bytes.length, this.#at);
      const end = bytes.lastIndexOf(10) + 1;
      this.#at += end;
      this.take(new StringDecoder("utf8").write(bytes.subarray(0, end)));
    } finally {
      closeSync(fd);
    }
  }

  take(lines: string): void {
    for (const line of lines.split("\n")) this.#line(line);
  }

  /** What was found after the fault against what was promised. With `real` the fault happened to the store itself. */
  check(found: Found, real: boolean): Verdict {
    const verdict: Verdict = { lost: [], unreported: [], reused: [], cut: 0, duplicates: 0 };
    const owed = new Set<string>();
    for (const [stream, epoch, seq, token] of found.owed) {
      const account = this.#account(stream, epoch);
      if ((account.ids.get(seq) ?? token) !== token || token === "") verdict.reused.push(`${stream} ${seq} ${token}`);
      owed.add(`${stream} ${epoch} ${seq}`);
      if (account.delivered.has(seq)) verdict.duplicates++;
    }
    for (const [stream, epoch, seq, token] of found.fresh) {
      if (this.#account(stream, epoch).ids.has(seq)) verdict.reused.push(`${stream} ${seq} ${token}`);
    }
    for (const [key, account] of this.#accounts) this.#missing(key, account, owed, found.gaps, { verdict, real });
    return verdict;
  }

  /** Ids that were acknowledged, not delivered, and are not owed any more, whatever gaps tell. */
  missing(found: Found): string[] {
    const owed = new Set(found.owed.map(([stream, epoch, seq]) => `${stream} ${epoch} ${seq}`));
    return [...this.#accounts].flatMap(([key, { promised }]) =>
      [...promised.keys()].map((seq) => `${key} ${seq}`).filter((id) => !owed.has(id)),
    );
  }

  #missing(
    key: string,
    account: Account,
    owed: ReadonlySet<string>,
    gaps: readonly FoundGap[],
    { verdict, real }: { verdict: Verdict; real: boolean },
  ): void {
    for (const [seq, { token, durable }] of account.promised) {
      if (owed.has(`${key} ${seq}`)) continue;
      const text = `${key} ${seq} ${token}`;
      const covers = (gap: FoundGap) => `${gap.stream} ${gap.epoch}` === key && gap.from <= seq && seq <= gap.to;
      if (!gaps.some(covers) && !this.gapsTold.some(covers)) verdict.unreported.push(text);
      else if (durable || seq <= account.durableUpTo) verdict.lost.push(text);
      else {
        verdict.cut++;
        // Told once is told: what is promised from now on does not make it durable.
        if (real) account.promised.delete(seq);
      }
    }
  }

  #account(stream: string, epoch: number | string): Account {
    const key = `${stream} ${epoch}`;
    const known = this.#accounts.get(key);
    if (known) return known;
    const account = new Account();
    this.#accounts.set(key, account);
    return account;
  }

  #line(line: string): void {
    const [word, stream = "", a = "", b = "", ...rest] = line.split(" ");
    if (word === "a") this.#appended(this.#account(stream, a), Number(b), (rest[0] ?? "").split(","), rest[1] === "1");
    else if (word === "d") this.#delivered(this.#account(stream, a), b.split(","));
    else if (word === "f") this.logs.set(a, Number(b));
    else if (word === "g") this.#gap([stream, a, b, ...rest]);
    else if (word === "x") this.wrong.push(line);
  }

  #appended(account: Account, first: number, tokens: readonly string[], durable: boolean): void {
    this.acknowledged += tokens.length;
    for (const [index, token] of tokens.entries()) {
      const seq = first + index;
      this.#identify(account, seq, token);
      // What a program was told after it had already been delivered is done with.
      if (!account.delivered.has(seq)) account.promised.set(seq, { token, durable });
    }
    if (durable) account.durableUpTo = Math.max(account.durableUpTo, first + tokens.length - 1);
  }

  #delivered(account: Account, pairs: readonly string[]): void {
    for (const pair of pairs) {
      const [seq = "", token = ""] = pair.split("=");
      this.#identify(account, Number(seq), token);
      if (account.delivered.has(Number(seq))) this.duplicates++;
      account.delivered.add(Number(seq));
      account.promised.delete(Number(seq));
    }
  }

  #identify(account: Account, seq: number, token: string): void {
    const known = account.ids.get(seq);
    if (known !== undefined && known !== token) this.wrong.push(`id ${seq} stands for ${known} and for ${token}`);
    account.ids.set(seq, token);
  }

  #gap([stream, epoch, from, to, reason = "", count, exact]: readonly string[]): void {
    const name = STREAMS.find((known) => known === stream);
    if (!name) return;
    const gap = {
      stream: name,
      epoch: Number(epoch),
      from: Number(from),
      to: Number(to),
      reason,
      count: Number(count),
    };
    this.gapsTold.push({ ...gap, exact: exact === "1" });
  }
}
