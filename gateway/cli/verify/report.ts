import type { ChainReport, Verdict } from "./tracker.ts";

const SHOWN_RANGES = 20;
/** What an inexact count means to a person. */
const INEXACT: Readonly<Record<string, string>> = {
  "power-loss": "ids skipped after unclean stops; lost is at most what the last queue.sync before a power cut held,",
};

/** What is told has no range of ids. */
const RANGES: Readonly<Record<string, string>> = { refused: "ranges of time, before they had ids" };

/** The verdict for people: one block for each chain, the answer last. */
export function describeVerdict(verdict: Verdict): string {
  const lines = verdict.chains.flatMap(describeChain);
  if (verdict.malformed > 0) lines.push(`${verdict.malformed} messages with an impossible id, prev or gap`);
  if (verdict.other > 0) lines.push(`${count(verdict.other)} other messages without a record id`);
  lines.push(...describeClock(verdict.clock));
  lines.push("", answer(verdict), "");
  return lines.join("\n");
}

function describeClock({ corrected, unsynced, covered, clockRecords }: Verdict["clock"]): string[] {
  const lines: string[] = [];
  if (corrected > 0) lines.push(`${count(corrected)} records with a corrected time`);
  if (unsynced > 0) {
    const known = covered === unsynced ? "all" : count(covered);
    lines.push(
      `${count(unsynced)} records without a known time; ${known} of them dated by ${count(clockRecords)} clock records`,
    );
  }
  return lines;
}

/** One line: received, duplicates, missing, gaps. */
export function answer(verdict: Verdict): string {
  const told = verdict.chains.flatMap((chain) => chain.gaps);
  const facts = `${count(verdict.received)} records received, ${count(verdict.duplicates)} duplicates`;
  const gaps = gapText(told);
  if (verdict.received === 0 && told.length === 0) return "NOTHING RECEIVED: no message carried a record id";
  if (verdict.complete) return `COMPLETE: nothing is missing (${facts}${gaps})`;
  const faults = [
    verdict.missingRanges > 0 ? `${count(verdict.missingRanges)} missing ranges` : "",
    verdict.conflicts > 0 ? `${count(verdict.conflicts)} ids came again with other content` : "",
    verdict.malformed > 0 ? `${count(verdict.malformed)} malformed messages` : "",
  ].filter((text) => text !== "");
  return `NOT COMPLETE: ${faults.join(", ")} (${facts}${gaps})`;
}

/**
 * What was lost for certain, and where it is not certain, the most it can be: after an unclean stop all ids that were
 * reserved count as missing, although most of them were never used.
 */
function gapText(told: readonly ChainReport["gaps"][number][]): string {
  const certain = (gap: (typeof told)[number]) => gap.exact || gap.reason === "refused";
  const exact = told.filter(certain);
  const other = told.filter((gap) => !certain(gap));
  const sum = (gaps: typeof told, of: "gaps" | "records") => gaps.reduce((all, gap) => all + gap[of], 0);
  const lost = exact.length > 0 ? `, ${count(sum(exact, "records"))} told as lost` : "";
  if (other.length === 0) return lost;
  return `${lost}, ${count(sum(other, "gaps"))} unclean stops or damages told (${count(sum(other, "records"))} ids skipped)`;
}

function describeChain(chain: ChainReport): string[] {
  const lines = [
    `${chain.gateway}/${chain.stream}  epoch ${chain.epoch}${chain.chain === "" ? "" : `  chain ${chain.chain}`}`,
    row("received", `${count(chain.received)}${chain.base > 0 ? `, after ${chain.base}` : ", from the beginning"}`),
    row("duplicates", count(chain.duplicates)),
    row("complete up to", completeness(chain)),
    row("missing ranges", chain.missing.length === 0 ? "none" : count(chain.missing.length)),
  ];
  for (const [from, to] of chain.missing.slice(0, SHOWN_RANGES)) {
    lines.push(`    ${from === to ? from : `${from}-${to}`}`);
  }
  if (chain.missing.length > SHOWN_RANGES) lines.push(`    and ${chain.missing.length - SHOWN_RANGES} more`);
  for (const gap of chain.gaps) {
    const what = gap.exact ? "records" : (INEXACT[gap.reason] ?? "records at most");
    lines.push(
      row(
        `gap: ${gap.reason}`,
        `${count(gap.records)} ${what} in ${count(gap.gaps)} ${RANGES[gap.reason] ?? "ranges"}`,
      ),
    );
  }
  if (chain.outOfOrder > 0) lines.push(row("out of order", count(chain.outOfOrder)));
  if (chain.conflicts > 0) lines.push(row("other content", `${count(chain.conflicts)} ids`));
  return lines;
}

function completeness(chain: ChainReport): string {
  if (chain.lastTaken === undefined) return `${chain.completeTo} (no status of the gateway seen)`;
  return `${chain.completeTo} of ${Math.max(chain.lastTaken, chain.completeTo)} taken by the gateway`;
}

function row(name: string, value: string): string {
  return `  ${name.padEnd(18)} ${value}`;
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}
