import { userInfo } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { z } from "zod";
import { ConfigError, messageOf } from "../core/errors.ts";
import { findControl } from "../http/control-path.ts";
import { dataFolder } from "./audit.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";
import { askJson, UnavailableError } from "./queue/client.ts";
import { table } from "./table.ts";

const HELP = `millrace reload: apply the changed configuration file to the running gateway.

Usage: millrace reload [--config FILE | --data FOLDER] [--dry-run]

  --config, -c FILE   the gateway's configuration (default: millrace.yaml)
  --data FOLDER       the data folder that the gateway runs with, where the file names another one now
  --dry-run           say what would stop and start, and change nothing

The gateway reads its file anew. A file with a fault is refused with every fault of it, and the gateway runs on as it
was. Only links and uplinks that differ stop and start; whatever else differs restarts all parts within the process. If
the new configuration does not start, the one before runs again. Nothing in the queue is touched by any of it.

Exit: 0 applied, or shown; 78 refused or gone back; 69 no gateway answers; 64 usage.

Example: millrace reload --dry-run --config /etc/millrace/millrace.yaml
`;

const OPTIONS = {
  config: { type: "string", short: "c" },
  data: { type: "string" },
  "dry-run": { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** A whole restart: the parts stop within 10 s, and a large store is opened. */
const WAIT_MS = 120_000;
const LOOK_MS = 200;

const reloadPlan = z.looseObject({
  whole: z.boolean(),
  steps: z.array(z.object({ part: z.string(), action: z.string(), why: z.string() })),
});
const answer = z.looseObject({ plan: reloadPlan, number: z.number().optional(), state: z.string().optional() });
const state = z.looseObject({ number: z.number(), state: z.string(), error: z.string().optional() });
type Plan = z.infer<typeof reloadPlan>;

/** `millrace reload`; resolves with a sysexits code. */
export function runReload(args: string[], io: CliIo): Promise<number> {
  return asCommand("reload", io, async () => {
    const { values, positionals } = parseCommand(args, OPTIONS);
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (positionals.length > 0) throw new UsageError(`"${positionals[0]}" is not an option; give --config FILE`);
    const socket = await findControl(await dataFolder(values, io));
    try {
      return await reload(socket, values["dry-run"] === true, io);
    } catch (error) {
      if (error instanceof ConfigError) {
        io.err(`${error.message}\nmillrace reload: not applied; the gateway runs with the configuration from before\n`);
        return EXIT.config;
      }
      if (!(error instanceof UnavailableError)) throw error;
      io.err(`millrace reload: no gateway answers at ${socket}: ${messageOf(error)}\n`);
      return EXIT.unavailable;
    }
  });
}

async function reload(socket: string, dry: boolean, io: CliIo): Promise<number> {
  const query = new URLSearchParams({ user: userInfo().username, ...(dry ? { dry: "1" } : {}) });
  const given = answer.parse(await askJson(socket, "POST", `/reload?${query}`, io.signal));
  io.out(describe(given.plan));
  if (dry) return EXIT.ok;
  if (given.state === "running" && given.number !== undefined) await applied(socket, given.number, io.signal);
  if (given.plan.steps.length > 0) io.out("applied\n");
  return EXIT.ok;
}

/** The gateway that was asked has stopped meanwhile, and its socket with it. @throws ConfigError when it went back. */
async function applied(socket: string, number: number, signal: AbortSignal): Promise<void> {
  const untilMs = performance.now() + WAIT_MS;
  for (;;) {
    const seen = await askJson(socket, "GET", "/reload", signal).catch((error: unknown) => {
      if (signal.aborted || performance.now() > untilMs || !(error instanceof UnavailableError)) throw error;
    });
    const now = seen === undefined ? undefined : state.parse(seen);
    if (now !== undefined && now.number >= number) {
      if (now.state === "applied") return;
      if (now.state === "failed") throw new ConfigError(now.error ?? "it did not start");
    }
    await pause(LOOK_MS, undefined, { signal });
  }
}

function describe({ steps, whole }: Plan): string {
  if (steps.length === 0) return "nothing differs from what runs\n";
  const rows = table([["PART", "", "WHY"], ...steps.map(({ part, action, why }) => [part, action, why])]);
  return `${rows}\n${whole ? "All parts restart, within the process; local clients connect again.\n" : ""}`;
}
