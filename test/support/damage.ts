import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Gap, StreamName } from "../../gateway/core/record.ts";
import { STREAMS } from "../../gateway/core/record.ts";
import type { Random } from "./random.ts";

/** What test/faults/programs/damage-store.mjs reports: per stream and seq the token, and who is still owed it. */
export type Stored = Record<StreamName, Record<string, { readonly token: string; readonly owed: readonly string[] }>>;

/** What test/faults/programs/damage-check.mjs answers. */
export interface Answer {
  readonly error?: string;
  readonly delivered: Record<string, Record<StreamName, readonly (readonly [number, string])[]>>;
  readonly gaps: Record<string, readonly Gap[]>;
  readonly quarantined: number;
}

/** One way to damage a file. */
export interface Damage {
  readonly name: string;
  readonly apply: (path: string, random: Random) => void;
}

const cut = (part: number): Damage => ({
  name: `cut at ${part * 100} %`,
  apply: (path) => truncateSync(path, Math.floor(statSync(path).size * part)),
});

function changed(path: string, change: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path);
  if (bytes.length > 0) change(bytes);
  writeFileSync(path, bytes);
}

const page = (name: string, fill: (random: Random, length: number) => Buffer): Damage => ({
  name,
  apply: (path, random) =>
    changed(path, (bytes) => {
      const at = random.whole(0, Math.max(0, bytes.length - 1));
      const aligned = at - (at % 4096);
      fill(random, Math.min(4096, bytes.length - aligned)).copy(bytes, aligned);
    }),
});

export const zeroedPage = page("page zeroed", (_, length) => Buffer.alloc(length));
const garbagePage = page("page of garbage", (random, length) => random.bytes(length));
export const flippedBit: Damage = {
  name: "bit flipped",
  apply: (path, random) =>
    changed(path, (bytes) => {
      const at = random.whole(0, bytes.length - 1);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.whole(0, 7));
    }),
};
const zeroed: Damage = { name: "zeroed", apply: (path) => changed(path, (bytes) => bytes.fill(0)) };
export const deleted: Damage = { name: "deleted", apply: (path) => rmSync(path, { recursive: true, force: true }) };
const folder: Damage = {
  name: "a folder",
  apply: (path) => {
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path);
    writeFileSync(join(path, "stray"), "x");
  },
};

/** For files with records in them. */
export const forData: readonly Damage[] = [
  cut(0),
  cut(0.1),
  cut(0.5),
  cut(0.97),
  zeroed,
  zeroedPage,
  zeroedPage,
  garbagePage,
  flippedBit,
  flippedBit,
  flippedBit,
  deleted,
];
/** For small files with state in them. */
export const forState: readonly Damage[] = [
  cut(0),
  cut(0.5),
  zeroed,
  zeroedPage,
  flippedBit,
  flippedBit,
  deleted,
  folder,
];
/** For files of which nothing is read. */
export const forOthers: readonly Damage[] = [cut(0.5), zeroed, flippedBit, deleted];

/** Whole pieces of a store that are missing, of the wrong kind, or foreign. */
export const places: readonly Damage[] = [
  { name: "a stray file", apply: (dir) => writeFileSync(join(dir, "queue", "telemetry", "notes.txt"), "x") },
  { name: "a stray folder", apply: (dir) => mkdirSync(join(dir, "queue", "events", "lost+found")) },
  {
    name: "an empty segment",
    apply: (dir) => mkdirSync(join(dir, "queue", "events", `${"9".padStart(16, "0")}-3`)),
  },
  {
    name: "a file named like a segment",
    apply: (dir) => writeFileSync(join(dir, "queue", "telemetry", `${"50000".padStart(16, "0")}-0`), "x"),
  },
  ...["queue/trash", "quarantine", "state/lock"].map((place) => ({
    name: `${place} a file`,
    apply: (dir: string) => {
      rmSync(join(dir, place), { recursive: true, force: true });
      writeFileSync(join(dir, place), "x");
    },
  })),
  { name: "state deleted", apply: (dir) => rmSync(join(dir, "state"), { recursive: true }) },
];

/** The segment folders of a stream, in order. */
export function segmentsOf(dir: string, stream: StreamName): string[] {
  const row = join(dir, "queue", stream);
  return readdirSync(row)
    .filter((name) => /^\d{16}-\d+$/.test(name))
    .sort()
    .map((name) => join(row, name));
}

export const isSealed = (segment: string) => existsSync(join(segment, "SEAL.json"));

export interface Verdict {
  /** Owed, and neither delivered nor told. */
  readonly unreported: string[];
  /** Missing, though it was not in what was damaged. */
  readonly outside: string[];
  /** Delivered with other bytes. */
  readonly wrong: string[];
  /** Gaps that say less than is missing in them, or, being exact, more. */
  readonly miscounted: string[];
  missing: number;
  /** Gaps of damage that could not tell how much is missing. */
  inexact: number;
}

/** `within` gives the seqs that may be missing, per stream. */
export function judge(
  stored: Stored,
  answer: Answer,
  within: Partial<Record<StreamName, readonly [number, number]>>,
): Verdict {
  const verdict: Verdict = { unreported: [], outside: [], wrong: [], miscounted: [], missing: 0, inexact: 0 };
  for (const [uplink, streams] of Object.entries(answer.delivered)) {
    for (const stream of STREAMS) {
      const gaps = (answer.gaps[uplink] ?? []).filter((gap) => gap.stream === stream);
      const found = { uplink, stream, delivered: new Map(streams[stream]), gaps, within: within[stream] ?? [1, 0] };
      judgeStream(stored[stream], found, verdict);
    }
  }
  return verdict;
}

interface FoundStream {
  readonly uplink: string;
  readonly stream: StreamName;
  readonly delivered: ReadonlyMap<number, string>;
  readonly gaps: readonly Gap[];
  readonly within: readonly [number, number];
}

function judgeStream(stored: Stored[StreamName], found: FoundStream, verdict: Verdict): void {
  const { uplink, stream, delivered, gaps, within } = found;
  for (const [seq, token] of delivered) {
    if (stored[seq]?.token !== token) verdict.wrong.push(`${uplink} ${stream} ${seq} ${token}`);
  }
  const missing = Object.entries(stored)
    .filter(([seq, { owed }]) => owed.includes(uplink) && !delivered.has(Number(seq)))
    .map(([seq]) => Number(seq));
  verdict.missing += missing.length;
  for (const seq of missing) {
    const text = `${uplink} ${stream} ${seq}`;
    if (!gaps.some(({ from, to }) => from <= seq && seq <= to)) verdict.unreported.push(text);
    if (seq < within[0] || seq > within[1]) verdict.outside.push(text);
  }
  for (const gap of gaps) {
    const inside = missing.filter((seq) => seq >= gap.from && seq <= gap.to).length;
    if (gap.count < inside || (gap.exact && gap.count > inside)) {
      verdict.miscounted.push(`${uplink} ${stream} ${gap.from}-${gap.to} ${gap.reason}: ${gap.count} for ${inside}`);
    }
    if (gap.reason === "damaged" && !gap.exact) verdict.inexact++;
  }
}
