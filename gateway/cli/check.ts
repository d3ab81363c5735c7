import { ConfigFaults } from "../config/faults.ts";
import { configJsonSchema } from "../config/json-schema.ts";
import { loadConfig } from "../config/load.ts";
import type { ConfigDeps, LoadedConfig } from "../config/types.ts";
import { colour, plain, printReport } from "./check/print.ts";
import { reportOn } from "./check/report.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";

const HELP = `millrace check - check a configuration without touching a device

Usage: millrace check [FILE] [--plan] [--json]
       millrace check --schema

  -c, --config FILE    configuration (default: millrace.yaml)
  --plan               what each scan costs: requests, registers read for nothing, bus time; with what was learnt
  --json               the report, or the faults, as JSON
  --schema             print the JSON Schema of the configuration, for editors
  -h, --help           this text

Prints the requests that each scan makes, the predicted load of each line, and how long the buffer lasts.
Exit codes: 0 all right (there may be warnings), 66 no such file, 78 the configuration is wrong.

Example: millrace check /etc/millrace/millrace.yaml
`;

/** `millrace check`. The module lists are parameters for programs that bring their own. */
export function runCheck(
  args: string[],
  io: CliIo,
  deps: Pick<ConfigDeps, "drivers" | "uplinks" | "learnt"> = {},
): Promise<number> {
  return asCommand("check", io, async () => {
    const { values, positionals } = parseCommand(args, {
      config: { type: "string", short: "c" },
      plan: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      schema: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    });
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (values.schema) {
      io.out(`${JSON.stringify(configJsonSchema(deps), null, 2)}\n`);
      return EXIT.ok;
    }
    const files = [...positionals, ...(values.config === undefined ? [] : [values.config])];
    if (files.length > 1) throw new UsageError("one file at a time");
    return await check(files[0] ?? "millrace.yaml", values, io, deps);
  });
}

async function check(
  file: string,
  { json, plan }: { readonly json?: boolean; readonly plan?: boolean },
  io: CliIo,
  deps: ConfigDeps,
): Promise<number> {
  let config: LoadedConfig;
  try {
    config = await loadConfig(file, { ...deps, env: io.env, cwd: io.cwd });
  } catch (error) {
    if (!(error instanceof ConfigFaults)) throw error;
    if (json) io.out(`${JSON.stringify({ ok: false, file, faults: error.faults }, null, 2)}\n`);
    else io.err(`${error.message}\n`);
    return error.noInput ? EXIT.noInput : EXIT.config;
  }
  const report = await reportOn(config);
  io.out(json ? `${JSON.stringify(report, null, 2)}\n` : printReport(report, io.tty ? colour : plain, plan));
  return EXIT.ok;
}
