import { formatDuration } from "../core/options/units.ts";
import { asCommand, type CliIo, durationOption, EXIT, parseCommand, UsageError } from "./io.ts";
import type { LineLink } from "./line/direct.ts";
import { failed } from "./line/fail.ts";
import { adHocLink, type Lines, linesOf } from "./line/lines.ts";
import { LINE_HELP, LINE_OPTIONS, transportIn } from "./line/options.ts";
import type { FoundUnit, LineTools, ScanResult } from "./line/tools.ts";
import { Progress } from "./queue/progress.ts";

const HELP = `millrace scan - find the units on a line, and what they say they are

Usage: millrace scan (--link NAME | --tcp HOST[:PORT] | --rtu PATH) [--units 1-247]

${LINE_HELP} (default 250ms on a serial port, 500ms elsewhere)
  --units LIST         unit ids, such as 1-32,100 (default 1-247, and 255 on tcp and udp)
  --baud A,B --parity P,Q   several: each combination is tried until somebody answers
  --try                the usual speeds and parities of serial lines
  --all                with several settings: go on after the first that somebody answers on
  --thorough           ask who is silent by four more functions
  --no-identify        do not ask who answers for its name (functions 43/14 and 17)
  --json               as JSON
  -h, --help           this text

Each unit is asked for one register: data and exceptions both show that it is there. Only questions that read are sent.
Ctrl-C ends it, and prints what was found. A serial line that a running gateway has is scanned through the gateway, between
its own reads, when it is named by --link.
Exit codes: 0 units were found, 1 none, 64 usage, 69 no connection or the port is in use, 78 the configuration is wrong.

Example: millrace scan --rtu /dev/serial/by-id/usb-FTDI_… --baud 9600 --parity none --units 1-32
         millrace scan --tcp 192.0.2.10
`;

/** Tried in this order: what devices are delivered with first. */
const USUAL_BAUDS = [9600, 19_200, 38_400, 115_200, 57_600, 4800, 2400, 1200];
const USUAL_PARITIES = ["none", "even", "odd"];

/** One way to set up the line. */
interface Setting {
  readonly label: string;
  readonly link: LineLink;
}

interface Round {
  readonly setting: Setting;
  readonly found: FoundUnit[];
  result: ScanResult | undefined;
}

interface How {
  readonly units: readonly number[];
  readonly patienceMs: number | undefined;
  readonly thorough: boolean;
  readonly identify: boolean;
  readonly all: boolean;
  readonly json: boolean;
}

/** `millrace scan`. */
export function runScan(args: string[], io: CliIo, tools: LineTools): Promise<number> {
  return asCommand("scan", io, async () => {
    const { values, positionals } = parseCommand(args, {
      ...LINE_OPTIONS,
      units: { type: "string" },
      try: { type: "boolean" },
      all: { type: "boolean" },
      thorough: { type: "boolean" },
      "no-identify": { type: "boolean" },
    });
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (positionals.length > 0)
      throw new UsageError(`"${positionals[0]}" is not an option; name the line with --link, --tcp or --rtu`);
    try {
      const { settings, lines } = await settingsOf(values, io, tools);
      const how: How = {
        units: unitsIn(values.units, settings[0]),
        patienceMs: durationOption("timeout", values.timeout),
        thorough: values.thorough === true,
        identify: values["no-identify"] !== true,
        all: values.all === true,
        json: values.json === true,
      };
      return await new ScanCommand(tools, io, how, lines).run(settings);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      return failed("scan", error, io);
    }
  });
}

class ScanCommand {
  readonly #tools: LineTools;
  readonly #io: CliIo;
  readonly #how: How;
  /** Present where the line is one of a configuration. */
  readonly #lines: Lines | undefined;
  readonly #rounds: Round[] = [];

  constructor(tools: LineTools, io: CliIo, how: How, lines: Lines | undefined) {
    this.#tools = tools;
    this.#io = io;
    this.#how = how;
    this.#lines = lines;
  }

  async run(settings: readonly Setting[]): Promise<number> {
    const { units, patienceMs, all, json } = this.#how;
    const io = this.#io;
    const mostMs = settings.reduce(
      (sum, { link }) => sum + this.#tools.scanMs(link.options, units.length, patienceMs),
      0,
    );
    const times = settings.length > 1 ? ` with ${settings.length} settings` : "";
    io.err(`${units.length} unit ids${times}; at most ${timeText(mostMs)}, Ctrl-C ends it\n`);
    let error: unknown;
    for (const setting of settings) {
      const round: Round = { setting, found: [], result: undefined };
      this.#rounds.push(round);
      try {
        round.result = await this.#scan(round, settings.length > 1);
      } catch (cause) {
        error = cause;
        break;
      }
      if (!all && round.found.length > 0) break;
    }
    const found = this.#rounds.some((round) => round.found.length > 0);
    if (error !== undefined && !io.signal.aborted && !found) throw error;
    if (json) io.out(`${JSON.stringify(this.#rounds.map(jsonOf), null, 2)}\n`);
    else this.#report();
    if (io.signal.aborted) io.err("millrace scan: stopped before its end\n");
    else if (error !== undefined) return failed("scan", error, io);
    return found ? EXIT.ok : EXIT.no;
  }

  async #scan(round: Round, several: boolean): Promise<ScanResult> {
    const io = this.#io;
    const { label, link } = round.setting;
    const { units, patienceMs, thorough, identify, json } = this.#how;
    const progress = new Progress(io, (amount) => `${amount}`);
    if (several && !json) io.err(`${label}\n`);
    const found = (unit: FoundUnit) => {
      round.found.push(unit);
      progress.end();
      if (!json) io.out(`${lineOf(unit)}\n`);
    };
    const tell = (done: number, total: number) => progress.at(done, total);
    try {
      const access = this.#lines && (await this.#lines.gatewayOf(link, io.signal));
      if (access && isSerial(link)) return await this.#throughGateway(link, access, { found, tell });
      return await this.#tools.scan(
        link.options,
        { units, thorough, identify, found, progress: tell, ...(patienceMs === undefined ? {} : { patienceMs }) },
        io.signal,
      );
    } finally {
      progress.end();
    }
  }

  /** The gateway has the port: it asks, one register of each unit. */
  async #throughGateway(
    link: LineLink,
    access: NonNullable<Awaited<ReturnType<Lines["gatewayOf"]>>>,
    {
      found,
      tell,
    }: { readonly found: (unit: FoundUnit) => void; readonly tell: (done: number, total: number) => void },
  ): Promise<ScanResult> {
    const io = this.#io;
    const { units, patienceMs = 250 } = this.#how;
    io.err(`the running gateway has ${link.name}: it is scanned through it, without the names of the units\n`);
    let asked = 0;
    for (const unit of units) {
      tell(asked, units.length);
      const device = { name: `unit ${unit}`, options: { unit, learn: false, timeout: `${patienceMs}ms` } };
      const tags = [{ name: "holding:0", options: { address: "holding:0", type: "uint16" } }];
      const [sample] = await access.read({ device, tags }, io.signal);
      asked++;
      if (sample?.silent) continue;
      found({ unit, answer: sample?.quality === "good" ? "data" : (sample?.reason ?? ""), objects: {} });
    }
    return { asked, broken: [], hungUp: [] };
  }

  #report(): void {
    const io = this.#io;
    for (const { setting, found, result } of this.#rounds) {
      const asked = result === undefined ? "" : ` of ${result.asked} asked`;
      const label = this.#rounds.length > 1 || found.length > 0 ? `${setting.label}: ` : "";
      io.out(
        `${label}${found.length === 0 ? "no unit answered" : `${found.length} ${found.length === 1 ? "unit" : "units"}`}${asked}\n`,
      );
      for (const note of notesOn(found, result)) io.out(`  ${note}\n`);
    }
    const all = this.#rounds.flatMap(({ found }) => found);
    const broken = this.#rounds.some(({ result }) => (result?.broken.length ?? 0) > 0);
    if (all.length === 0 && !broken && !io.signal.aborted) io.out(NOBODY);
  }
}

const NOBODY = `  On a serial line: are A and B the right way round, is the speed and parity that of the units (--try), is the line terminated?
  On tcp: is this the device, and does it let another client in? A longer --timeout helps with gateways to slow lines.
`;

function notesOn(found: readonly FoundUnit[], result: ScanResult | undefined): string[] {
  const notes: string[] = [];
  if (result?.lost !== undefined) notes.push(`ended early: ${result.lost}`);
  if (result && result.broken.length > 0) {
    const list = result.broken.slice(0, 8).join(", ");
    notes.push(
      `bytes that are no answer came for unit ${list}: wrong speed or parity, noise, or two units with one id`,
    );
  }
  if (result && result.hungUp.length > 0)
    notes.push(`the far side hung up when asked for unit ${result.hungUp.slice(0, 8).join(", ")}`);
  const [first] = found;
  if (
    first &&
    found.length > 8 &&
    found.every((unit) => JSON.stringify({ ...unit, unit: 0 }) === JSON.stringify({ ...first, unit: 0 }))
  ) {
    notes.push("they all answer alike: probably one device that does not look at the unit id");
  }
  return notes;
}

/** `unit 3   Siemens, 7KM2200, V1.2` */
function lineOf({ unit, answer, objects, serverId, running }: FoundUnit): string {
  const names = Object.entries(objects)
    .filter(([, value]) => value !== "")
    .map(([name, value]) => (PLAIN.includes(name) ? value : `${name} ${value}`));
  const id =
    serverId === undefined
      ? []
      : [`server id ${serverId}${running === undefined ? "" : running ? ", running" : ", stopped"}`];
  const said = [...names, ...id].join(", ");
  const how = answer === "data" ? "" : ` (answered: ${answer})`;
  return `unit ${String(unit).padEnd(4)} ${said === "" ? "does not say what it is" : said}${how}`;
}

const PLAIN = ["vendor", "product", "revision", "productName", "model"];

function jsonOf({ setting, found, result }: Round): Record<string, unknown> {
  return {
    setting: setting.label,
    transport: transportOf(setting.link),
    units: found,
    ...(result ?? { stopped: true }),
  };
}

function transportOf({ options }: LineLink): unknown {
  return typeof options === "object" && options !== null && "transport" in options ? options.transport : undefined;
}

function isSerial(link: LineLink): boolean {
  const transport = transportOf(link);
  return typeof transport === "object" && transport !== null && "path" in transport;
}

/** One setting, or every combination that was asked for. @throws UsageError. */
async function settingsOf(
  values: Parameters<typeof linesOf>[0] & { readonly try?: boolean | undefined },
  io: CliIo,
  tools: LineTools,
): Promise<{ readonly settings: readonly Setting[]; readonly lines: Lines | undefined }> {
  const bauds: readonly (string | undefined)[] =
    listOf(values.baud) ?? (values.try ? USUAL_BAUDS.map(String) : [undefined]);
  const parities: readonly (string | undefined)[] =
    listOf(values.parity) ?? (values.try ? USUAL_PARITIES : [undefined]);
  const { timeout: _, ...own } = values;
  if (values.rtu === undefined && values.ascii === undefined) {
    if (values.try) throw new UsageError("--try is for a serial port: name it with --rtu PATH");
    const lines = await linesOf(own, io, tools);
    const link = lines.link();
    return { settings: [{ label: labelOf(link), link }], lines: lines.isAdHoc ? undefined : lines };
  }
  const settings = parities
    .flatMap((parity) => bauds.map((baud) => ({ ...own, baud, parity })))
    .sort((a, b) => bauds.indexOf(a.baud) - bauds.indexOf(b.baud))
    .map((each) => {
      const transport = transportIn(each);
      if (!transport) throw new UsageError("name the line with --rtu PATH");
      const link = adHocLink(transport, {}, tools);
      return { label: labelOf(link), link };
    });
  return { settings, lines: undefined };
}

function listOf(text: string | undefined): string[] | undefined {
  return text?.split(",").map((item) => item.trim());
}

function labelOf(link: LineLink): string {
  const transport = transportOf(link);
  if (typeof transport !== "object" || transport === null) return link.name;
  if ("path" in transport && "baud" in transport && "parity" in transport) {
    return `${transport.path} at ${transport.baud} baud, ${transport.parity === "none" ? "no" : transport.parity} parity`;
  }
  return "host" in transport && "port" in transport ? `${transport.host}:${transport.port}` : link.name;
}

/** `1-32,100`; without it what the transport can have. @throws UsageError. */
function unitsIn(text: string | undefined, setting: Setting | undefined): number[] {
  if (text === undefined) {
    const transport = setting && transportOf(setting.link);
    const type = typeof transport === "object" && transport !== null && "type" in transport ? transport.type : "";
    const own = type === "tcp" || type === "udp" ? [255] : [];
    return [...Array.from({ length: 247 }, (_, at) => at + 1), ...own];
  }
  const units = text.split(",").flatMap((part) => {
    const [, first, last = first] = /^\s*(\d{1,3})(?:-(\d{1,3}))?\s*$/.exec(part) ?? [];
    const [from, to] = [Number(first), Number(last)];
    if (first === undefined || from > to || to > 255) {
      throw new UsageError(`--units "${part.trim()}" is no list of unit ids; write 1-32 or 1,2,17`);
    }
    return Array.from({ length: to - from + 1 }, (_, at) => from + at);
  });
  return [...new Set(units)];
}

function timeText(ms: number): string {
  return formatDuration(ms < 1000 ? Math.ceil(ms) : Math.ceil(ms / 1000) * 1000);
}
