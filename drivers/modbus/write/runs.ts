import type { TagWrite } from "../../../gateway/core/driver.ts";
import { AREAS } from "../address.ts";
import type { Point } from "../point.ts";
import { type Change, MAX_WRITE_COILS, MAX_WRITE_REGISTERS } from "./writable.ts";

/** One write of a tag, understood. */
export interface Job {
  readonly index: number;
  readonly write: TagWrite;
  readonly point: Point;
  readonly change: Change;
  readonly verify: boolean;
}

/** Writes that one command carries: neighbours, in the order in which they were given; or bits of one register. */
export interface Run {
  readonly kind: "coils" | "registers" | "bits";
  readonly address: number;
  /** Coils or registers. */
  readonly count: number;
  readonly jobs: readonly Job[];
}

/** Joins what stands side by side; never changes the order. @param most registers that the unit takes at once. */
export function runsOf(jobs: readonly Job[], most: number): Run[] {
  const runs: Run[] = [];
  for (const job of jobs) {
    const last = runs.at(-1);
    const next = runOf(job);
    if (last && joins(last, next, most)) runs[runs.length - 1] = joined(last, next);
    else runs.push(next);
  }
  return runs;
}

export function runOf(job: Job): Run {
  const { address, count } = job.point;
  const kind = AREAS[address.area].bits ? "coils" : job.change.mask ? "bits" : "registers";
  return { kind, address: address.index, count, jobs: [job] };
}

function joins(last: Run, next: Run, most: number): boolean {
  if (last.kind !== next.kind) return false;
  if (last.kind === "bits") return last.address === next.address;
  const limit = last.kind === "coils" ? MAX_WRITE_COILS : Math.min(MAX_WRITE_REGISTERS, most);
  return last.address + last.count === next.address && last.count + next.count <= limit;
}

function joined(last: Run, next: Run): Run {
  const count = last.kind === "bits" ? 1 : last.count + next.count;
  return { ...last, count, jobs: [...last.jobs, ...next.jobs] };
}

/** The registers of a run, or its coils, each a byte that is 0 or 1. */
export function bytesOf(run: Run): Buffer {
  return Buffer.concat(run.jobs.map((job) => job.change.bytes));
}

/** Which bits of a register change, and to what; a later job wins over an earlier one. */
export function bitsOf(run: Run): { readonly mask: number; readonly bits: number } {
  let mask = 0;
  let bits = 0;
  for (const { change } of run.jobs) {
    const own = change.mask?.readUInt16BE(0) ?? 0xffff;
    mask |= own;
    bits = (bits & ~own) | (change.bytes.readUInt16BE(0) & own);
  }
  return { mask: mask & 0xffff, bits: bits & 0xffff };
}
