import { readFile, rename, writeFile } from "node:fs/promises";
import { z } from "zod";
import { UsageError } from "../io.ts";
import type { CompletenessTracker, TrackerState } from "./tracker.ts";

const ranges = z.array(z.tuple([z.number(), z.number()]));
const gap = z.object({ to: z.number(), count: z.number(), reason: z.string(), exact: z.boolean() });
const chain = z.object({
  gateway: z.string(),
  stream: z.string(),
  epoch: z.string(),
  chain: z.string(),
  received: z.number(),
  duplicates: z.number(),
  outOfOrder: z.number(),
  conflicts: z.number(),
  lane: z.object({ live: z.number(), historical: z.number() }),
  covered: ranges,
  told: ranges,
  gaps: z.array(z.tuple([z.number(), gap])),
  status: z.object({ lastTaken: z.number(), lastAcked: z.number() }).exactOptional(),
  statusBase: z.number().exactOptional(),
});
const boots = z.record(z.string(), z.number());
const clocks = z.object({ corrected: z.number(), unsynced: boots, told: boots });
const state = z.object({
  format: z.literal(1),
  malformed: z.number(),
  other: z.number(),
  clocks: clocks.exactOptional(),
  chains: z.array(chain),
});

/** Reads what an earlier run saved; a file that does not exist is a first run. @throws UsageError naming the file. */
export async function loadState(file: string, tracker: CompletenessTracker): Promise<void> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw new UsageError(`--state ${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  try {
    const parsed: TrackerState = state.parse(JSON.parse(text));
    tracker.restore(parsed);
  } catch {
    throw new UsageError(`--state ${file} was not written by verify; name another file or remove it`);
  }
}

/** Writes beside and renames, so that the file is always whole. */
export async function saveState(file: string, tracker: CompletenessTracker): Promise<void> {
  const beside = `${file}.new`;
  await writeFile(beside, `${JSON.stringify(tracker.save())}\n`);
  await rename(beside, file);
}
