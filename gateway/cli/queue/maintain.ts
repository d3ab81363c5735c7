import { resolve } from "node:path";
import { formatSize } from "../../core/options/units.ts";
import { type CliIo, EXIT, UsageError } from "../io.ts";
import { Progress } from "./progress.ts";
import { mustBeStopped, openSource } from "./source.ts";
import type { BackupSummary, QueueTools, Replaced } from "./tools.ts";
import type { Where } from "./where.ts";

export interface MaintainOptions {
  readonly yes: boolean;
  readonly json: boolean;
}

const NEW_EPOCH =
  "Epoch: a new one begins at the next start.\n" + "verify: new records are a new chain that begins with prev 0. ";
const NO_GAP = "is missing without a gap; only the last status of the old epoch (taken against received) shows it.\n";

export async function forget(
  name: string,
  where: Where,
  tools: QueueTools,
  io: CliIo,
  options: MaintainOptions,
): Promise<number> {
  const source = await openSource(where, tools);
  const done = await source.forget(name, options.yes, io.signal);
  if (options.json) return json(io, done);
  const freed = `${formatSize(done.bytes)} that nobody else needs ${source.running ? "is" : "will at the next start be"} freed`;
  const what = done.told
    ? `${name} stays, and its backlog of ${count(done.records)} records is dropped; it is told so as a gap. ${freed}.\n` +
      "Epoch: stays. verify: counts the gap.\n"
    : `${name} is forgotten, with the ${count(done.records)} records it was owed. ${freed}.\n` +
      "Epoch: stays. verify at its receiver: what it has stays proven; nothing tells it that the rest will not come.\n";
  io.out(what);
  return EXIT.ok;
}

export async function backup(
  dir: string,
  where: Where,
  tools: QueueTools,
  io: CliIo,
  options: MaintainOptions,
): Promise<number> {
  const source = await openSource(where, tools);
  const snapshot = await source.snapshot(io.signal);
  const progress = new Progress(io, formatSize);
  let made: BackupSummary;
  try {
    made = await tools.backup(snapshot, resolve(io.cwd, dir), (done, total) => progress.at(done, total), io.signal);
  } finally {
    progress.end();
    await snapshot.close();
  }
  if (options.json) return json(io, { ...made, files: made.files.length });
  io.out(`${held(made)} in ${dir}\nEpoch: stays. verify: sees nothing of it.\n`);
  return EXIT.ok;
}

export async function restore(
  dir: string,
  where: Where,
  tools: QueueTools,
  io: CliIo,
  options: MaintainOptions,
): Promise<number> {
  await mustBeStopped(where.dataDir, tools);
  const progress = new Progress(io, formatSize);
  let done: Replaced & { readonly manifest: BackupSummary };
  try {
    done = await tools.restore(where.dataDir, resolve(io.cwd, dir), {
      replace: options.yes,
      onProgress: (bytes, total) => progress.at(bytes, total),
      signal: io.signal,
    });
  } finally {
    progress.end();
  }
  if (options.json) return json(io, { owedAndLost: done.owed, ...done.manifest, files: done.manifest.files.length });
  io.out(
    `${held(done.manifest)} of ${new Date(done.manifest.created).toISOString()} restored into ${where.dataDir}\n` +
      `${lost(done, "replaced")}${NEW_EPOCH}The backup's records come under their old ids,\n` +
      `those delivered since as duplicates. What was taken after the backup and not delivered ${NO_GAP}`,
  );
  return EXIT.ok;
}

export async function reset(where: Where, tools: QueueTools, io: CliIo, options: MaintainOptions): Promise<number> {
  if (!options.yes) {
    throw new UsageError(
      "this removes the whole queue, with everything that was not delivered: say --yes (and before: millrace queue backup DIR)",
    );
  }
  await mustBeStopped(where.dataDir, tools);
  const done = await tools.reset(where.dataDir);
  if (options.json) return json(io, { owedAndLost: done.owed });
  io.out(
    `the queue in ${where.dataDir} is empty; the configuration is as it was\n` +
      `${lost(done, "lost")}${NEW_EPOCH}What was not delivered ${NO_GAP}`,
  );
  return EXIT.ok;
}

function held({ streams: { events, telemetry }, files }: BackupSummary): string {
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return `${count(events.records)} events and ${count(telemetry.records)} telemetry records (${formatSize(bytes)})`;
}

function lost({ owed }: Replaced, word: "lost" | "replaced"): string {
  if (owed.length === 0) return "nothing was owed to any uplink\n";
  return owed
    .map(({ name, owed: records }) => `${word}: the ${count(records)} records that ${name} was owed there\n`)
    .join("");
}

function json(io: CliIo, value: unknown): number {
  io.out(`${JSON.stringify(value, null, 2)}\n`);
  return EXIT.ok;
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}
