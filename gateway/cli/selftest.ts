import { readdir, stat, statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { loadConfig } from "../config/load.ts";
import type { LoadedConfig } from "../config/types.ts";
import { ConfigError, messageOf } from "../core/errors.ts";
import { queueOptions } from "../core/options/queue.ts";
import { formatSize } from "../core/options/units.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";
import { DEFAULT_ENDURANCE, loadsOf, parseEndurance } from "./selftest/life.ts";
import { roomWarning } from "./selftest/mount.ts";
import { SCRATCH_BYTES, type SelftestDeps } from "./selftest/parts.ts";
import { describeReport } from "./selftest/print.ts";
import { SCRATCH_PREFIX, testStorage } from "./selftest/storage-test.ts";
import { runVictim } from "./selftest/victim.ts";

const HELP = `millrace selftest storage: what this disk is worth as a home for the queue.

Usage: millrace selftest storage [--dir FOLDER] [--config FILE] [--seconds 30] [--cycles N]
                                 [--endurance ${DEFAULT_ENDURANCE}] [--seed N] [--json]

Measures fsync and how fast the queue takes records, then kills a process that writes to a scratch queue, again and
again at random moments, and checks that every acknowledged record is there, in order, byte for byte. All in a scratch
folder that is removed at the end; the real queue is never touched. A kill is no power cut: only pulling the plug shows
whether a disk keeps what it says it has written.

  --dir FOLDER      test the disk of this folder (default: that of the configured data folder, else this folder)
  -c, --config FILE configuration (default: millrace.yaml where it exists); its load is in the estimate
  --seconds N       for the whole run, about (default 30)
  --cycles N        kills (default: as many as fit into the time, at least 5)
  --endurance SIZE  what the card is made for, from its data sheet: bytes written in its life
                    (default: queue.endurance, ${DEFAULT_ENDURANCE}: a 32 GB card of 300 cycles)
  --seed N          repeat the plan of kills that a run printed
  --json            the report as JSON
  -h, --help        this text

Exit: 0 good or slow, 1 bad (something was lost, or the disk refused), 64 usage, 66 no such folder, 74 nothing can be
written there, 78 configuration, 130 Ctrl-C.

Examples:
  millrace selftest storage --config /etc/millrace/millrace.yaml
  millrace selftest storage --dir /mnt/ssd --seconds 120 --endurance 10TB
`;

const OPTIONS = {
  dir: { type: "string" },
  config: { type: "string", short: "c" },
  seconds: { type: "string" },
  cycles: { type: "string" },
  endurance: { type: "string" },
  seed: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** The process that `storage` starts and kills; in no help. */
const VICTIM = "storage-child";
const DEFAULT_SECONDS = 30;
/** The scratch queues and what LevelDB keeps beside them. */
const NEEDED_BYTES = 2 * SCRATCH_BYTES;
const INTERRUPTED = 130;

/** `millrace selftest`; resolves with a sysexits code. */
export function runSelftest(args: string[], io: CliIo, deps: SelftestDeps): Promise<number> {
  return asCommand("selftest", io, async () => {
    const [what, ...rest] = args;
    if (what === VICTIM) return await runVictim(rest, io, deps);
    const { values, positionals } = parseCommand(what === "storage" ? rest : args, OPTIONS);
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (what !== "storage") throw new UsageError("say what to test: millrace selftest storage");
    if (positionals.length > 0) throw new UsageError(`"${positionals[0]}" is not an option`);
    return await storage(values, io, deps);
  });
}

type Values = Partial<Record<Exclude<keyof typeof OPTIONS, "json" | "help">, string>> & { json?: boolean };

async function storage(values: Values, io: CliIo, deps: SelftestDeps): Promise<number> {
  const seconds = numberOption("seconds", values.seconds, 1) ?? DEFAULT_SECONDS;
  const cycles = numberOption("cycles", values.cycles, 0);
  const seed = numberOption("seed", values.seed, 0) ?? Math.floor(Math.random() * 2 ** 32);
  const given = enduranceOf(values.endurance);
  let config: LoadedConfig | undefined;
  let folder: string;
  try {
    config = await configOf(values.config, io);
    folder = await folderOf(values.dir, config, io);
    await checkRoom(folder);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    io.err(`millrace selftest: ${messageOf(error)}\n`);
    if (error instanceof ConfigError) return EXIT.config;
    return error instanceof NoFolderError ? EXIT.noInput : EXIT.ioError;
  }
  const enduranceBytes = given ?? config?.queue.endurance ?? parseEndurance(DEFAULT_ENDURANCE) ?? 0;
  const progress = io.tty && !values.json ? (text: string) => io.out(`\r\x1b[K${text} …`) : () => {};
  if (!values.json) io.out(`Testing ${folder}, about ${seconds} s; Ctrl-C ends it and leaves nothing behind\n`);
  for (const name of await leftBehind(folder)) {
    io.err(`millrace selftest: ${join(folder, name)} is of another run; remove it if that was killed\n`);
  }
  try {
    const room = (freeBytes: number) => roomFor(config, values.dir === undefined, freeBytes);
    const loads = loadsOf(config);
    const plan = { folder, ms: seconds * 1000, cycles, seed, enduranceBytes, loads, room, progress };
    const report = await testStorage(plan, io, deps);
    progress("");
    if (io.tty && !values.json) io.out("\r\x1b[K");
    io.out(values.json ? `${JSON.stringify(report, null, 2)}\n` : describeReport(report));
    return report.verdict === "bad" ? EXIT.no : EXIT.ok;
  } catch (error) {
    if (io.tty && !values.json) io.out("\r\x1b[K");
    if (io.signal.aborted) {
      io.err("millrace selftest: stopped; the scratch folder is removed\n");
      return INTERRUPTED;
    }
    io.err(`millrace selftest: nothing can be written in ${folder}: ${messageOf(error)}\n`);
    return EXIT.ioError;
  }
}

class NoFolderError extends Error {}

/** @throws UsageError. Undefined where it is not given. */
function enduranceOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = parseEndurance(text);
  if (bytes === undefined) throw new UsageError(`--endurance "${text}" is not a size; write 10TB`);
  return bytes;
}

function numberOption(name: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (text.trim() === "" || !Number.isInteger(number) || number < least || number >= 2 ** 32) {
    throw new UsageError(`--${name} "${text}" is not a whole number of at least ${least}`);
  }
  return number;
}

/** The configuration that was named, or the one in this folder. @throws ConfigError. */
async function configOf(named: string | undefined, io: CliIo): Promise<LoadedConfig | undefined> {
  const file = named ?? "millrace.yaml";
  if (named === undefined && !(await isThere(resolve(io.cwd, file)))) return undefined;
  // Secrets are not needed here, and need not be readable.
  return await loadConfig(file, { cwd: io.cwd });
}

/** The nearest folder that is there: the data folder may not have been made yet. */
async function folderOf(dir: string | undefined, config: LoadedConfig | undefined, io: CliIo): Promise<string> {
  if (dir !== undefined) {
    const folder = resolve(io.cwd, dir);
    const found = await stat(folder).catch(() => undefined);
    if (!found?.isDirectory()) throw new NoFolderError(`${folder} is not a folder`);
    return folder;
  }
  let folder = config?.gateway.dataDir ?? io.cwd;
  while (!(await isThere(folder)) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

async function checkRoom(folder: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= NEEDED_BYTES) return;
  throw new Error(`the test needs ${formatSize(NEEDED_BYTES)}, and only ${formatSize(free)} are free in ${folder}`);
}

async function leftBehind(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => name.startsWith(SCRATCH_PREFIX));
}

/** What the configured queue, or one with defaults, has no room for. Where another disk is tested, that queue has nothing on it. */
async function roomFor(
  config: LoadedConfig | undefined,
  configured: boolean,
  freeBytes: number,
): Promise<string | undefined> {
  const { maxBytes, minFree } = config?.queue ?? queueOptions.parse({});
  const used = config && configured ? await bytesIn(join(config.gateway.dataDir, "queue")) : 0;
  return roomWarning({ freeBytes, usedBytes: used, maxBytes, minFree });
}

/** Only looks; the gateway may be running, and files come and go. */
async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  let bytes = 0;
  for (const entry of entries) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name)).catch(() => undefined))?.size ?? 0;
  }
  return bytes;
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
