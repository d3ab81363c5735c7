import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type AuditEntry, auditFolder, filesIn, readLine } from "./audit/chain.ts";
import type { SupportFile } from "./core/support.ts";
import { bundleName, makeBundle, type Piece } from "./support/bundle.ts";
import { describeMachine, listFolder } from "./support/machine.ts";
import { scrubber } from "./support/scrub.ts";
import { secretsOf } from "./support/secrets.ts";
import { learntIn } from "./system/learnt-files.ts";
import { type LogLines, masked, withoutSecrets } from "./system/log-lines.ts";
import { programVersion } from "./version.ts";
import { configWork, maskSecrets } from "./views/config-work.ts";

const AUDIT_ENTRIES = 1_000;
const LOG_LINES = 2_000;

/** What a bundle is made of, running or not. */
export interface SupportParts {
  readonly gatewayId: string;
  /** Undefined where only a configuration is known, and it does not say. */
  readonly dataDir: string | undefined;
  /** The configuration file and the folder that its paths start from; absent where only a data folder is known. */
  readonly config?: { readonly path: string; readonly folder: string };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly nodeVersion?: string | undefined;
  readonly queueStats: () => Promise<unknown>;
  /** Of a running gateway; else the reason why there is none. */
  readonly live: LiveSupport | string;
}

export interface LiveSupport {
  readonly status: () => unknown;
  readonly plan: () => unknown;
  readonly metricsText: () => Promise<string>;
  readonly logs?: LogLines | undefined;
}

/** A support bundle; what cannot be had is missing in it, with the reason. */
export async function supportBundle(parts: SupportParts): Promise<SupportFile> {
  const { gatewayId, config, env, live } = parts;
  const text = config === undefined ? "" : await readFile(config.path, "utf8").catch(() => "");
  const secrets = config === undefined ? [] : await secretsOf(text, config.folder, env);
  const nowMs = Date.now();
  const bytes = await makeBundle({
    gatewayId,
    nowMs,
    notes: [typeof live === "string" ? `No running gateway was asked: ${live}` : "The gateway was running."],
    pieces: [...machinePieces(parts), ...configPieces(parts, text), ...livePieces(live), ...diskPieces(parts)],
    scrub: scrubber(secrets, masked),
  });
  return { name: `${bundleName(gatewayId, nowMs)}.tar.gz`, bytes };
}

function machinePieces({ dataDir, nodeVersion }: SupportParts): Piece[] {
  return [
    {
      name: "system.json",
      about: "versions, the machine, free memory and disk",
      text: async () =>
        json({ millrace: programVersion(), node: nodeVersion ?? "unknown", ...(await describeMachine(dataDir)) }),
    },
  ];
}

function configPieces({ config, env }: SupportParts, text: string): Piece[] {
  if (config === undefined) return [];
  const { path, folder } = config;
  const known = Object.keys(env).filter((name) => (env[name] ?? "") !== "");
  return [
    {
      name: "millrace.yaml",
      about: "the configuration file as it is now, secrets masked",
      text: async () => maskSecrets(await readFile(path, "utf8")).text,
    },
    {
      name: "check.json",
      about: "faults and warnings of that file",
      text: async () => json(await configWork({ kind: "check", text, file: path, folder, env: known })),
    },
  ];
}

function livePieces(live: LiveSupport | string): Piece[] {
  if (typeof live === "string") return [];
  return [
    { name: "status.json", about: "links, devices, queue, uplinks, broker", text: () => json(clean(live.status())) },
    { name: "requests.json", about: "the plan of requests of each device", text: () => json(clean(live.plan())) },
    { name: "metrics.txt", about: "all metrics", text: live.metricsText },
    {
      name: "log.ndjson",
      about: `the last lines of the log, at most ${LOG_LINES}`,
      text: () => {
        if (!live.logs) throw new Error("no lines of it are held");
        return lines(live.logs.since({ after: 0, limit: LOG_LINES, level: "debug" }).lines);
      },
    },
  ];
}

function diskPieces({ dataDir, queueStats }: SupportParts): Piece[] {
  if (dataDir === undefined) return [];
  return [
    {
      name: "queue.json",
      about: "streams, segments, what each uplink is owed",
      text: async () => json(await queueStats()),
    },
    {
      name: "audit.ndjson",
      about: `the newest entries of the audit trail, at most ${AUDIT_ENTRIES}`,
      text: async () => lines(await newestEntries(dataDir)),
    },
    {
      name: "learnt.json",
      about: "what was learnt about the devices",
      text: async () => json((await learntIn(dataDir)).map(({ entry }) => entry)),
    },
    { name: "data-folder.txt", about: "mode, owner, size and time of every file", text: () => listFolder(dataDir) },
  ];
}

/** The last entries as they lie on disk, oldest first. */
async function newestEntries(dataDir: string): Promise<AuditEntry[]> {
  const folder = auditFolder(dataDir);
  let found: AuditEntry[] = [];
  for (const name of (await filesIn(folder)).reverse()) {
    const read = (await readFile(join(folder, name), "utf8")).split("\n").map(readLine);
    found = [...read.filter((entry) => "seq" in entry), ...found].slice(-AUDIT_ENTRIES);
    if (found.length >= AUDIT_ENTRIES) break;
  }
  return found;
}

/** What stands under a key that names a secret goes, whatever it is. */
function clean(value: unknown): unknown {
  return withoutSecrets(JSON.parse(json(value)), "");
}

function json(value: unknown): string {
  return `${JSON.stringify(value, (_key, item: unknown) => (typeof item === "bigint" ? String(item) : item), 2)}\n`;
}

function lines(values: readonly unknown[]): string {
  return values.map((value) => `${JSON.stringify(value)}\n`).join("");
}
