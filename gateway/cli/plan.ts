import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { ConfigFaults } from "../config/faults.ts";
import { loadConfig } from "../config/load.ts";
import type { ConfigDeps, LoadedConfig } from "../config/types.ts";
import { messageOf } from "../core/errors.ts";
import { formatDuration, parseSize } from "../core/options/units.ts";
import { diskOf } from "./check/disk.ts";
import { asCommand, type CliIo, durationOption, EXIT, parseCommand, UsageError } from "./io.ts";
import { compareLive, type LiveOptions } from "./plan/live.ts";
import { type Plan, type PlanSettings, planOf } from "./plan/model.ts";
import { countOption, partOption, rateOption } from "./plan/options.ts";
import { printPlan } from "./plan/print.ts";
import { backlogSvg } from "./plan/svg.ts";
import type { PlanTools } from "./plan/types.ts";

const HELP = `millrace plan: capacity on paper: rates, bus load, buffer, outage, drain and card life of a configuration.

Usage: millrace plan [--config FILE] [--outage 8h] [--rate N[/s]] [--change PERCENT] [--svg FILE] [--json]
       millrace plan --live [--url URL] [--for 30s]

  -c, --config FILE   configuration (default: millrace.yaml)
  --outage DURATION   how long every uplink is away (8h)
  --rate N[/s|/m|/h]  what comes in, in all: a rate that was measured, in place of what the scans give
  --captured N[/s]    messages of local clients that are captured, on top (0)
  --size SIZE         their payload (200B)
  --change PERCENT    readings at which a tag with a deadband has moved beyond it (100: all)
  --rtt DURATION      from a message to its acknowledgement (50ms)
  --most N[/s]        messages that this machine sends at most (10000/s)
  --free SIZE         free disk (default: what the disk of dataDir has now)
  --svg FILE          the backlog over time, as a picture
  --json              everything, as JSON
  --senders K         senders at once for the queueing view (default: the window of the uplink)
  --pass P            funnel: probability with which the first stage is reached (default: from the outage)
  --consumers K       funnel: consumers of each stage (default: the uplinks)
  --stages N          funnel: stages (3)
  --seed N            of the simulations (1)
  --live              compare with the running gateway: measured for a while, with the error of the plan
  --url URL           ask here, e.g. http://127.0.0.1:8080 (default: the port of the configuration)
  --for DURATION      how long is measured with --live (20s)

What a running gateway asks of each device is shown by millrace requests.
Exit: 0 shown, 64 usage, 66 no such file, 69 no gateway answers, 78 the configuration is wrong,
or has nothing that --captured or --rate could be the rate of.

Example: millrace plan --config /etc/millrace/millrace.yaml --outage 8h --svg outage.svg
`;

const text = { type: "string" } as const;
const flag = { type: "boolean", default: false } as const;
const OPTIONS = {
  config: { type: "string", short: "c" },
  outage: text,
  rate: text,
  captured: text,
  size: text,
  change: text,
  rtt: text,
  most: text,
  free: text,
  svg: text,
  json: flag,
  senders: text,
  pass: text,
  consumers: text,
  stages: text,
  seed: text,
  live: flag,
  url: text,
  for: text,
  help: { type: "boolean", short: "h", default: false },
} as const;
type Values = Partial<Record<keyof typeof OPTIONS, string | boolean>>;

const HOUR_S = 3600;
const YEAR_S = 366 * 24 * HOUR_S;

interface PlanDeps extends Pick<ConfigDeps, "drivers" | "uplinks" | "learnt"> {
  readonly tools: PlanTools;
}

/** `millrace plan`; resolves with a sysexits code. */
export function runPlan(args: string[], io: CliIo, deps: PlanDeps): Promise<number> {
  return asCommand("plan", io, async () => {
    const { values, positionals } = parseCommand(args, OPTIONS);
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    const file = fileOf(positionals, values.config);
    const live = liveOptions(values, file);
    const settings = settingsOf(values);
    const config = await configOf(file ?? "millrace.yaml", io, deps);
    if (typeof config === "number") return config;
    const fault = rateFault(config, settings);
    if (fault !== undefined) {
      io.err(`millrace plan: ${config.file}: ${fault}\n`);
      return EXIT.config;
    }
    const freeBytes = freeOption(values.free) ?? (await diskOf(config.gateway.dataDir))?.freeBytes;
    const plan = planOf(config, { ...settings, ...(freeBytes === undefined ? {} : { freeBytes }) }, deps.tools);
    if (live !== undefined) return await compareLive(plan, live, io);
    io.out(values.json ? `${JSON.stringify(plan, null, 2)}\n` : printPlan(plan));
    return values.svg === undefined ? EXIT.ok : await draw(plan, values.svg, io);
  });
}

function fileOf(positionals: readonly string[], config: string | undefined): string | undefined {
  const files = [...positionals, ...(config === undefined ? [] : [config])];
  if (files.length > 1) throw new UsageError("one configuration at a time; devices are shown by millrace requests");
  return files[0];
}

/** Undefined without `--live`. */
function liveOptions(values: Values, config: string | undefined): LiveOptions | undefined {
  const { live, url, for: span, svg, json } = values;
  if (live !== true) {
    const only = url === undefined ? (span === undefined ? undefined : "for") : "url";
    if (only !== undefined) throw new UsageError(`--${only} needs --live`);
    return undefined;
  }
  if (svg !== undefined) throw new UsageError("--svg is of a plan without --live");
  const text_ = (value: string | boolean | undefined) => (typeof value === "string" ? value : undefined);
  return { config, url: text_(url), forMs: liveFor(text_(span)), json: json === true };
}

/** The configuration, or the exit code after its faults were told. */
async function configOf(file: string, io: CliIo, deps: PlanDeps): Promise<LoadedConfig | number> {
  try {
    return await loadConfig(file, { ...deps, env: io.env, cwd: io.cwd });
  } catch (error) {
    if (!(error instanceof ConfigFaults)) throw error;
    io.err(`${error.message}\n`);
    return error.noInput ? EXIT.noInput : EXIT.config;
  }
}

async function draw(plan: Plan, file: string, io: CliIo): Promise<number> {
  try {
    await writeFile(resolve(io.cwd, file), backlogSvg(plan));
  } catch (error) {
    io.err(`millrace plan: the picture cannot be written: ${messageOf(error)}\n`);
    return EXIT.ioError;
  }
  io.err(`the backlog over time is in ${file}\n`);
  return EXIT.ok;
}

function settingsOf(values: Values): PlanSettings {
  const string = (key: keyof Values) => (typeof values[key] === "string" ? values[key] : undefined);
  const outageSeconds = (durationOption("outage", string("outage")) ?? 8 * HOUR_S * 1000) / 1000;
  if (outageSeconds <= 0 || outageSeconds > YEAR_S)
    throw new UsageError("--outage must be more than 0 and at most 366d");
  const rate = rateOption("rate", string("rate"));
  const size = string("size");
  const capturedBytes = size === undefined ? 200 : sizeOption("size", size);
  const change = partOption("change", string("change")) ?? 1;
  const senders = countOption("senders", string("senders"), 10_000);
  const first = probabilityOption(string("pass"));
  const consumers = countOption("consumers", string("consumers"), 10_000);
  return {
    outageSeconds,
    change,
    captured: rateOption("captured", string("captured")) ?? 0,
    capturedBytes,
    rttMs: durationOption("rtt", string("rtt")) ?? 50,
    most: rateOption("most", string("most")) ?? 10_000,
    ...(rate === undefined ? {} : { rate }),
    ...(senders === undefined ? {} : { senders }),
    funnel: {
      ...(first === undefined ? {} : { first }),
      ...(consumers === undefined ? {} : { consumers }),
      stages: countOption("stages", string("stages"), 100) ?? 3,
    },
    seed: countOption("seed", string("seed"), 2 ** 31) ?? 1,
    queueing: values.live !== true,
  };
}

/** A rate that nothing of the configuration can have: the command line is right, and the configuration does not fit it. */
function rateFault({ capture, links }: LoadedConfig, { rate, captured }: PlanSettings): string | undefined {
  if (captured > 0 && capture.length === 0)
    return 'it captures nothing; add what is to be captured, capture: [ { topics: ["plant/#"] } ], or leave --captured out';
  if (rate !== undefined && capture.length === 0 && links.every(({ groups }) => groups.length === 0))
    return "it neither scans nor captures anything; add links or capture, or leave --rate out";
  return undefined;
}

function liveFor(text_: string | undefined): number {
  const ms = durationOption("for", text_) ?? 20_000;
  if (ms < 1000 || ms > HOUR_S * 1000) throw new UsageError(`--for is from 1s to 1h, not ${formatDuration(ms)}`);
  return ms;
}

function freeOption(text_: string | undefined): number | undefined {
  return text_ === undefined ? undefined : sizeOption("free", text_);
}

function sizeOption(name: string, text_: string): number {
  const bytes = parseSize(text_);
  if (bytes === undefined) throw new UsageError(`--${name} "${text_}" is not a size; write 200B, 64KiB or 2GiB`);
  return bytes;
}

function probabilityOption(text_: string | undefined): number | undefined {
  if (text_ === undefined) return undefined;
  const value = Number(text_);
  if (!(value >= 0 && value <= 1) || text_.trim() === "")
    throw new UsageError(`--pass "${text_}" is not a probability; write 0.9`);
  return value;
}
