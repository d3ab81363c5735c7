import { open, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { type CliIo, EXIT, UsageError } from "../io.ts";
import { table } from "../table.ts";
import type { QueueTools } from "./tools.ts";
import type { Where } from "./where.ts";

export const DEAD_LETTERS_HELP = `millrace queue dead-letters - records that the far side of an uplink refused for good

Usage: millrace queue dead-letters [export] [--uplink NAME] [--out FILE] [--json]

      --uplink NAME   only of this uplink
      --out FILE      with export: into a file, which is there only when it is whole (default: stdout)
      --json          the summary as JSON
  -c, --config FILE   the gateway's configuration (default: millrace.yaml)
      --data DIR      its data folder instead, where there is no configuration at hand
  -h, --help          this text

Without export: how many, since when and why, for each uplink. With it: one line of JSON each, with at, uplink, reason, and the
record as queue export shows it. They are told upstream as a gap (rejected); here is what they said. A record may be there
twice after a kill. Kept within deadLetters.bytes and deadLetters.age of the uplink. Reads files only; changes nothing.

Example: millrace queue dead-letters export --uplink cloud --out refused.ndjson
`;

interface Summary {
  readonly uplink: string;
  records: number;
  /** Unix milliseconds. */
  oldest: number | undefined;
  newest: number | undefined;
  readonly reasons: Record<string, number>;
}

export interface DeadLetterOptions {
  readonly exports: boolean;
  readonly uplink: string | undefined;
  readonly out: string | undefined;
  readonly json: boolean;
}

export async function deadLetters(
  where: Where,
  tools: QueueTools,
  io: CliIo,
  options: DeadLetterOptions,
): Promise<number> {
  const all = await tools.deadLetters.uplinks(where.dataDir);
  if (options.out !== undefined && !options.exports) throw new UsageError("--out goes with export");
  const uplinks = options.uplink === undefined ? all : all.filter((name) => name === options.uplink);
  if (options.exports) return await exportAll(where, uplinks, tools, io, options.out);
  const summaries: Summary[] = [];
  for (const uplink of uplinks) summaries.push(await summaryOf(where.dataDir, uplink, tools, io));
  io.out(options.json ? `${JSON.stringify(summaries, null, 2)}\n` : describe(summaries));
  return EXIT.ok;
}

async function summaryOf(dataDir: string, uplink: string, tools: QueueTools, io: CliIo): Promise<Summary> {
  const summary: Summary = { uplink, records: 0, oldest: undefined, newest: undefined, reasons: {} };
  for await (const line of tools.deadLetters.lines(dataDir, uplink)) {
    io.signal.throwIfAborted();
    const { at, reason } = headOf(line);
    summary.records++;
    summary.oldest ??= at;
    summary.newest = at ?? summary.newest;
    summary.reasons[reason] = (summary.reasons[reason] ?? 0) + 1;
  }
  return summary;
}

function headOf(line: string): { at: number | undefined; reason: string } {
  try {
    const { at, reason }: { at?: unknown; reason?: unknown } = JSON.parse(line);
    return { at: typeof at === "number" ? at : undefined, reason: typeof reason === "string" ? reason : "unknown" };
  } catch {
    return { at: undefined, reason: "unreadable line" };
  }
}

function describe(summaries: readonly Summary[]): string {
  if (summaries.every(({ records }) => records === 0)) return "no dead letters\n";
  const time = (ms: number | undefined) => (ms === undefined ? "" : new Date(ms).toISOString());
  const rows = summaries.flatMap(({ uplink, records, oldest, newest, reasons }) => [
    [uplink, String(records), time(oldest), time(newest), ""],
    ...Object.entries(reasons).map(([reason, count]) => ["", String(count), "", "", reason]),
  ]);
  return `${table([["UPLINK", "RECORDS", "OLDEST", "NEWEST", "REASON"], ...rows])}\n`;
}

async function exportAll(
  where: Where,
  uplinks: readonly string[],
  tools: QueueTools,
  io: CliIo,
  out: string | undefined,
): Promise<number> {
  const copy = async (sink: (text: string) => Promise<void>) => {
    let records = 0;
    for (const uplink of uplinks) {
      for await (const line of tools.deadLetters.lines(where.dataDir, uplink)) {
        io.signal.throwIfAborted();
        await sink(`${line}\n`);
        records++;
      }
    }
    return records;
  };
  if (out === undefined) {
    await copy(async (text) => (io.write ? await io.write(text) : io.out(text)));
    return EXIT.ok;
  }
  const path = resolve(io.cwd, out);
  const part = `${path}.part`;
  const file = await open(part, "w");
  try {
    const records = await copy((text) => file.writeFile(text));
    await file.sync();
    await file.close();
    await rename(part, path);
    io.err(`${records.toLocaleString("en-US")} records in ${out}\n`);
    return EXIT.ok;
  } catch (error) {
    await file.close().catch(() => {});
    await rm(part, { force: true });
    throw error;
  }
}
