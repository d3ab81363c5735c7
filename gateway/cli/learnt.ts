import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parse, stringify } from "yaml";
import { z } from "zod";
import { sections } from "../config/section-schemas.ts";
import type { DriverModule } from "../core/driver.ts";
import { messageOf } from "../core/errors.ts";
import type { LearntEntry } from "../core/learnt.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";

export interface LearntDeps {
  readonly drivers: readonly DriverModule[];
  readonly learntIn: (dataDir: string) => Promise<{ readonly path: string; readonly entry: LearntEntry }[]>;
  readonly removeLearnt: (path: string) => Promise<void>;
}

const HELP = `millrace learnt - what the gateway has learnt about its devices

Usage: millrace learnt [DEVICE...] [--config FILE] [--export | --reset | --json]

  -c, --config FILE    configuration (default: millrace.yaml)
  --export             as YAML: keys to put into the device in the configuration, or a profile of their own:
                       save it as profiles/own/meter-1.yaml and add own/meter-1 to the device's "profile" list
  --reset              forget it; a running gateway notices within 5 seconds and learns anew
  --json               as it is kept
  -h, --help           this text

Holes and limits that an answer showed, tags that a device refuses, and how long it takes to answer.
Exit codes: 0 done, 1 nothing was learnt, 64 usage.

Example: millrace learnt meter-1 --export
`;

type Found = Awaited<ReturnType<LearntDeps["learntIn"]>>;

/** `millrace learnt`. */
export function runLearnt(args: string[], io: CliIo, deps: LearntDeps): Promise<number> {
  return asCommand("learnt", io, async () => {
    const { values, positionals } = parseCommand(args, {
      config: { type: "string", short: "c", default: "millrace.yaml" },
      export: { type: "boolean", default: false },
      reset: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    });
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if ([values.export, values.reset, values.json].filter(Boolean).length > 1)
      throw new UsageError("one of --export, --reset and --json at a time");
    const found = await findAll(await dataDirOf(values.config ?? "millrace.yaml", io), positionals, deps);
    if (found.length === 0) {
      io.err("millrace learnt: nothing was learnt yet\n");
      return EXIT.no;
    }
    if (values.reset) await reset(found, io, deps);
    else if (values.json)
      io.out(
        `${JSON.stringify(
          found.map(({ entry }) => entry),
          null,
          2,
        )}\n`,
      );
    else for (const { entry } of found) io.out(values.export ? exported(entry, deps) : described(entry, deps));
    return EXIT.ok;
  });
}

async function findAll(dataDir: string, names: readonly string[], deps: LearntDeps): Promise<Found> {
  const all = (await deps.learntIn(dataDir)).sort((a, b) => a.entry.device.localeCompare(b.entry.device));
  const known = new Set(all.map(({ entry }) => entry.device));
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined && all.length > 0)
    throw new UsageError(`nothing was learnt about "${unknown}"; there is ${[...known].join(", ")}`);
  return all.filter(({ entry }) => names.length === 0 || names.includes(entry.device));
}

async function reset(found: Found, io: CliIo, deps: LearntDeps): Promise<void> {
  for (const { path, entry } of found) {
    await deps.removeLearnt(path);
    io.out(`${entry.device}: forgotten\n`);
  }
}

function described(entry: LearntEntry, deps: LearntDeps): string {
  const lines = moduleOf(entry, deps)?.describe(entry.content) ?? [];
  const head = `${entry.device}  ${entry.identity}, ${new Date(entry.savedAt).toISOString()}`;
  return `${[head, ...lines.map((line) => `  ${line}`)].join("\n")}\n`;
}

function exported(entry: LearntEntry, deps: LearntDeps): string {
  const learnt = moduleOf(entry, deps);
  const notes = (learnt?.describe(entry.content) ?? []).map((line) => `# ${line}\n`).join("");
  const keys = learnt?.profile(entry.content) ?? {};
  const body = Object.keys(keys).length === 0 ? "# nothing that the configuration could say\n" : stringify(keys);
  return `# learnt from ${entry.device} (${entry.identity})\n${notes}${body}`;
}

function moduleOf(entry: LearntEntry, deps: LearntDeps): DriverModule["learnt"] {
  return deps.drivers.find(({ name }) => name === entry.driver)?.learnt;
}

const gatewaySection = z.looseObject({ gateway: z.looseObject({ dataDir: sections.gateway.shape.dataDir }) });

/** @throws UsageError. */
async function dataDirOf(config: string, io: CliIo): Promise<string> {
  const file = resolve(io.cwd, config);
  let document: unknown;
  try {
    document = parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new UsageError(`--config: ${messageOf(error)}`);
  }
  const found = gatewaySection.safeParse(document);
  if (!found.success) throw new UsageError(`${file}: gateway is not valid; see millrace check`);
  return resolve(dirname(file), found.data.gateway.dataDir);
}
