import { readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { type AuditEntry, auditFolder, filesIn, readLine } from "../audit/chain.ts";
import { type AuditReport, verifyFile, verifyFolder } from "../audit/verify.ts";
import { messageOf } from "../core/errors.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";
import { table } from "./table.ts";

const HELP = `millrace audit - who did what: the audit trail of a gateway, running or stopped

Usage: millrace audit verify [FILE] [--config FILE | --data DIR] [--head HASH]
       millrace audit show [--config FILE | --data DIR] [--last N] [--action NAME] [--json]
       millrace audit export [--config FILE | --data DIR]

  verify   each entry carries the hash of the one before: says where one was cut, changed, removed or moved;
           with FILE, an export
  show     the last entries
  export   all of it on stdout, as lines of JSON

  -c, --config FILE   take the data folder from this configuration (default: millrace.yaml)
  --data DIR          the data folder itself
  --head HASH         verify: an entry with this hash has to be there, such as one noted elsewhere
  --last N            show: so many entries (default 20)
  --action NAME       show: only these, such as login or user (with all that begins with user.)
  --json              show: as JSON
  -h, --help          this text

Exit codes: 0 the chain holds, 1 it does not, 64 usage, 66 there is no audit trail.

Example: millrace audit verify --config /etc/millrace/millrace.yaml
`;

/** `millrace audit`. */
export function runAudit(args: string[], io: CliIo): Promise<number> {
  return asCommand("audit", io, async () => {
    const { values, positionals } = parseCommand(args, {
      config: { type: "string", short: "c" },
      data: { type: "string" },
      head: { type: "string" },
      last: { type: "string" },
      action: { type: "string" },
      json: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    });
    const [verb, file, ...more] = positionals;
    if (values.help || verb === undefined) {
      io.out(HELP);
      return values.help ? EXIT.ok : EXIT.usage;
    }
    if (more.length > 0 || (file !== undefined && verb !== "verify"))
      throw new UsageError(`"${more[0] ?? file}" is one too many`);
    if (!["verify", "show", "export"].includes(verb))
      throw new UsageError(`"${verb}" is none of verify, show and export`);
    try {
      return await run(verb, file, values, io);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      io.err(`millrace audit: ${messageOf(error)}\n`);
      return EXIT.noInput;
    }
  });
}

interface Values {
  readonly config?: string | undefined;
  readonly data?: string | undefined;
  readonly head?: string | undefined;
  readonly last?: string | undefined;
  readonly action?: string | undefined;
  readonly json?: boolean | undefined;
}

async function run(verb: string, file: string | undefined, values: Values, io: CliIo): Promise<number> {
  if (file !== undefined) return verdict(await verifyFile(resolve(io.cwd, file), values.head), io);
  const folder = auditFolder(await dataFolder(values, io));
  if ((await stat(folder).catch(() => undefined)) === undefined) {
    io.err(`millrace audit: there is no audit trail in ${folder}: no gateway ran with this data folder yet\n`);
    return EXIT.noInput;
  }
  if (verb === "verify") return verdict(await verifyFolder(folder, values.head), io);
  if (verb === "show") return await show(folder, values, io);
  for (const name of await filesIn(folder)) io.out(await readFile(join(folder, name), "utf8"));
  return EXIT.ok;
}

/** The data folder that is meant. @throws UsageError. */
export async function dataFolder(
  { data, config }: { readonly data?: string | undefined; readonly config?: string | undefined },
  io: CliIo,
): Promise<string> {
  if (data !== undefined) return resolve(io.cwd, data);
  const file = resolve(io.cwd, config ?? "millrace.yaml");
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new UsageError(`${messageOf(error)}; name the configuration with --config, or the data folder with --data`);
  }
  const found = z
    .looseObject({ gateway: z.looseObject({ dataDir: z.string().default("./data") }) })
    .safeParse(parse(text, { logLevel: "silent" }));
  if (!found.success) throw new UsageError(`${file} does not say where the data is; see millrace check`);
  return resolve(file, "..", found.data.gateway.dataDir);
}

function verdict({ entries, from, to, head, faults, more }: AuditReport, io: CliIo): number {
  for (const { file, line, what } of faults) io.out(`${file}${line === undefined ? "" : `:${line}`}: ${what}\n`);
  if (more > 0) io.out(`and ${more} more\n`);
  const which = from === undefined ? "" : `, ${from} to ${to}`;
  const count = `${entries} ${entries === 1 ? "entry" : "entries"}${which}`;
  const bad = faults.length + more;
  if (bad > 0) {
    io.out(`the audit trail was cut, changed or damaged: ${bad} ${bad === 1 ? "fault" : "faults"} in ${count}\n`);
    return EXIT.no;
  }
  io.out(`the chain holds: ${count}${head === undefined ? "" : `; the last hash is ${head}`}\n`);
  return EXIT.ok;
}

async function show(folder: string, { last, action, json }: Values, io: CliIo): Promise<number> {
  const most = Number(last ?? 20);
  if (!Number.isSafeInteger(most) || most < 1) throw new UsageError(`--last "${last}" is not a number from 1`);
  let entries: AuditEntry[] = [];
  for (const name of await filesIn(folder)) {
    for (const line of (await readFile(join(folder, name), "utf8")).split("\n")) {
      const entry = readLine(line);
      if ("fault" in entry) continue;
      if (action === undefined || entry.action === action || entry.action.startsWith(`${action}.`)) entries.push(entry);
    }
    entries = entries.slice(-most);
  }
  if (json) {
    for (const entry of entries) io.out(`${JSON.stringify(entry)}\n`);
    return EXIT.ok;
  }
  const rows = entries.map((entry) => [
    String(entry.seq),
    entry.clock === "synced" ? entry.time : `${entry.time}?`,
    printable(entry.actor),
    entry.address ?? "",
    entry.action,
    entry.outcome,
    printable([entry.target, entry.detail].filter((text) => text !== undefined).join(": ")),
  ]);
  io.out(rows.length === 0 ? "no entries\n" : `${table(rows)}\n`);
  return EXIT.ok;
}

/** Names come from strangers: none of them may steer the terminal. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
}
