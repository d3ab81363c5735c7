import { setTimeout as pause } from "node:timers/promises";
import type { ErrandDevice } from "../../core/errand.ts";
import type { LineAccess } from "./access.ts";

/** Where registers are read: on an open line, of one unit. */
export interface Place {
  readonly access: LineAccess;
  readonly device: ErrandDevice;
}

/** Registers as they came over the wire, or why there are none. */
export type Words = { readonly words: number[] } | { readonly reason: string; readonly silent: boolean };

const LAST = 65_535;

/** As many registers from an address on as the unit gives in one answer, at most `most`. */
export async function registersAt(
  { access, device }: Place,
  { area, index }: { readonly area: string; readonly index: number },
  most: number,
  signal: AbortSignal,
): Promise<Words> {
  // What exists mostly exists from here on in one piece.
  let [good, bad] = [0, Math.min(most, LAST + 1 - index) + 1];
  let found: Words = { reason: "there are no registers", silent: false };
  for (let count = bad - 1; count > good && count < bad; count = Math.ceil((good + bad) / 2)) {
    const words = await exactly(count, { access, device }, { area, index }, signal);
    if ("words" in words) [good, found] = [count, words];
    else if (words.silent) return words;
    else {
      bad = count;
      if (good === 0) found = words;
    }
  }
  return found;
}

async function exactly(
  count: number,
  { access, device }: Place,
  { area, index }: { readonly area: string; readonly index: number },
  signal: AbortSignal,
): Promise<Words> {
  const tags = Array.from({ length: count }, (_, at) => ({
    name: `r${at}`,
    options: { address: `${area}:${index + at}`, type: "uint16" },
  }));
  const samples = await access.read({ device, tags }, signal);
  const bad = samples.find(({ quality }) => quality !== "good");
  if (!bad) return { words: samples.map(({ value }) => Number(value)) };
  return { reason: bad.reason ?? "no answer", silent: bad.silent ?? false };
}

/** So many samples of registers, so far apart; all of one length. Those that failed are left out. */
export async function samplesOf(
  read: (most: number) => Promise<Words>,
  first: readonly number[],
  {
    samples,
    intervalMs,
    signal,
  }: { readonly samples: number; readonly intervalMs: number; readonly signal: AbortSignal },
  progress: (done: number) => void,
): Promise<number[][]> {
  const all = [[...first]];
  let next = performance.now() + intervalMs;
  for (let tries = 1; tries < samples; tries++) {
    progress(tries);
    const waitMs = next - performance.now();
    if (waitMs > 0) await pause(waitMs, undefined, { signal });
    next += intervalMs;
    const again = await read(first.length);
    if ("words" in again && again.words.length === first.length) all.push(again.words);
  }
  return all;
}
