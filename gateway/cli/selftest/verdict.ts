import type { FsyncFigures } from "./fsync.ts";
import type { KillFigures } from "./kills.ts";
import type { CardLife } from "./life.ts";
import { inMemory, type Mount } from "./mount.ts";
import { formatCount, formatMs } from "./numbers.ts";
import type { RateFigures } from "./rate.ts";

export interface Report {
  readonly verdict: "good" | "slow" | "bad";
  /** Why it is not `good`. */
  readonly reasons: readonly string[];
  /** What to know all the same; in plain words. */
  readonly warnings: readonly string[];
  readonly folder: string;
  readonly disk: Omit<Mount, "written">;
  /** Absent where the test did not come so far. */
  readonly fsync?: FsyncFigures;
  readonly rates: readonly RateFigures[];
  readonly kills?: KillFigures;
  readonly enduranceBytes: number;
  /** Whether `bytesPerFsync` was measured here, or is what is usual. */
  readonly measured: boolean;
  readonly bytesPerFsync: number;
  readonly life: readonly CardLife[];
  readonly seconds: number;
}

/** An acknowledgement that takes longer than this is felt by whoever waits for it. */
const SLOW_MS = 50;
/** Some clients give up after a few seconds. */
const STALL_MS = 1000;
/** Not even a fast disk flushes its cache in this time. */
const LIES_BELOW_MS = 0.02;

export type Findings = Pick<Report, "disk" | "fsync" | "rates" | "kills"> & {
  /** The disk refused. */
  readonly failure?: string | undefined;
};

export function judge(found: Findings): Pick<Report, "verdict" | "reasons"> {
  const bad = badReasons(found);
  if (bad.length > 0) return { verdict: "bad", reasons: bad };
  const slow = slowReasons(found);
  return { verdict: slow.length > 0 ? "slow" : "good", reasons: slow };
}

function badReasons({ failure, kills }: Findings): string[] {
  const bad: string[] = [];
  if (failure !== undefined) bad.push(`the disk refused: ${failure}`);
  if (!kills) return bad;
  if (kills.lost > 0) {
    const told = kills.toldAsGap > 0 ? `, ${kills.toldAsGap} of them told as a gap` : "";
    bad.push(`lost ${kills.lost} acknowledged records${told} (${kills.examples.join(", ")})`);
  }
  if (kills.changed > 0) bad.push(`${kills.changed} records came back with other bytes`);
  if (kills.outOfOrder > 0) bad.push(`${kills.outOfOrder} records came back out of order`);
  if (kills.failure !== undefined) bad.push(`the queue stopped in cycle ${kills.cycles}: ${kills.failure}`);
  return bad;
}

function slowReasons({ fsync, rates }: Findings): string[] {
  const one = rates.find(({ atOnce }) => atOnce === 1)?.latency;
  const p99Ms = Math.max(fsync?.p99Ms ?? 0, one?.p99Ms ?? 0);
  if (p99Ms < SLOW_MS) return [];
  const most = 1000 / p99Ms;
  const rate = most >= 1 ? `${Math.floor(most)} captured messages/s` : `one captured message in ${formatMs(p99Ms)}`;
  const together = rates.find(({ atOnce }) => atOnce === 64);
  const many = together ? `; 64 publishers together ${formatCount(together.perSecond)}/s` : "";
  return [
    `a PUBACK takes up to ${formatMs(p99Ms)} (99 of 100): at most ${rate} for a publisher that waits for each${many}`,
  ];
}

/** What the figures say beside the verdict. */
export function warningsFrom({ disk, fsync }: Pick<Findings, "disk" | "fsync">): string[] {
  if (!fsync || inMemory(disk)) return [];
  const found: string[] = [];
  if (fsync.p50Ms < LIES_BELOW_MS) {
    found.push(
      `fsync takes ${formatMs(fsync.p50Ms)}: the cache may not be flushed, and a power cut may lose what was acknowledged; only pulling the plug can tell`,
    );
  }
  if (fsync.maxMs > STALL_MS) {
    found.push(`one fsync took ${formatMs(fsync.maxMs)}: the card stalls at times, and clients wait so long`);
  }
  return found;
}
