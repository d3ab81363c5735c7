import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { DAMAGED, type Damage, END, type RecordQuery, TOTAL } from "../../core/inspect.ts";
import { type CliIo, EXIT } from "../io.ts";
import { UnavailableError } from "./client.ts";
import { Progress } from "./progress.ts";
import type { Source } from "./source.ts";

/** What was damaged is listed up to so many ranges. */
const MOST_TOLD = 20;

interface Summary {
  records: number;
  damaged: number;
  readonly ranges: Damage[];
  whole: boolean;
}

/** Writes records as lines of JSON, to stdout or to a file that is there only when it is whole. Gives the exit code. */
export async function exportRecords(
  source: Source,
  query: RecordQuery,
  out: string | undefined,
  io: CliIo,
): Promise<number> {
  const summary =
    out === undefined
      ? await copyLines(source, query, io, (text) => write(io, text))
      : await toFile(resolve(io.cwd, out), (sink) => copyLines(source, query, io, sink));
  if (out !== undefined) io.err(`${summary.records.toLocaleString("en-US")} records in ${out}\n`);
  if (summary.damaged === 0) return EXIT.ok;
  for (const { stream, from, to, reason } of summary.ranges.slice(0, MOST_TOLD)) {
    io.err(`damaged: ${stream} ${from === to ? `seq ${from}` : `seqs ${from} to ${to}`}: ${reason}\n`);
  }
  if (summary.ranges.length > MOST_TOLD) io.err(`damaged: and ${summary.ranges.length - MOST_TOLD} more ranges\n`);
  io.err(
    `${summary.damaged.toLocaleString("en-US")} seqs could not be read; each uplink that is owed them is told a gap\n`,
  );
  return EXIT.no;
}

async function write(io: CliIo, text: string): Promise<void> {
  if (io.write) await io.write(text);
  else io.out(text);
}

/** Under another name until it is whole and on disk. */
async function toFile(
  path: string,
  work: (sink: (text: string) => Promise<void>) => Promise<Summary>,
): Promise<Summary> {
  const part = `${path}.part`;
  let file: FileHandle | undefined = await open(part, "w");
  try {
    const handle = file;
    const summary = await work((text) => handle.writeFile(text));
    await file.sync();
    await file.close();
    file = undefined;
    await rename(part, path);
    return summary;
  } catch (error) {
    await file?.close().catch(() => {});
    await rm(part, { force: true });
    throw error;
  }
}

async function copyLines(
  source: Source,
  query: RecordQuery,
  io: CliIo,
  sink: (text: string) => Promise<void>,
): Promise<Summary> {
  const progress = new Progress(io);
  const summary: Summary = { records: 0, damaged: 0, ranges: [], whole: false };
  let total = 0;
  let rest = "";
  try {
    for await (const text of source.lines(query, io.signal)) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      let records = "";
      for (const line of lines) {
        if (line.startsWith(TOTAL)) total = Number(JSON.parse(line).total);
        else if (line.startsWith(DAMAGED)) addDamage(summary, JSON.parse(line).damaged);
        else if (line.startsWith(END)) summary.whole = true;
        else {
          summary.records++;
          records += `${line}\n`;
        }
      }
      if (records !== "") await sink(records);
      progress.at(summary.records, total);
    }
  } finally {
    progress.end();
  }
  if (!summary.whole) throw new UnavailableError("the gateway stopped in the middle");
  return summary;
}

function addDamage(summary: Summary, damage: Damage): void {
  summary.damaged += damage.to - damage.from + 1;
  const last = summary.ranges.at(-1);
  if (last?.stream === damage.stream && last.to === damage.from - 1 && last.reason === damage.reason) {
    summary.ranges[summary.ranges.length - 1] = { ...last, to: damage.to };
  } else summary.ranges.push(damage);
}
