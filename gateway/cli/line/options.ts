import { parseDuration } from "../../core/options/units.ts";
import { UsageError } from "../io.ts";

/** How a line is named on the command line: a link of a configuration, or the line itself. */
export const LINE_OPTIONS = {
  config: { type: "string", short: "c" },
  link: { type: "string" },
  tcp: { type: "string" },
  udp: { type: "string" },
  rtu: { type: "string" },
  ascii: { type: "string" },
  "rtu-over-tcp": { type: "string" },
  "ascii-over-tcp": { type: "string" },
  baud: { type: "string" },
  parity: { type: "string" },
  "data-bits": { type: "string" },
  "stop-bits": { type: "string" },
  timeout: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

export const LINE_HELP = `  -c, --config FILE    configuration (default: millrace.yaml)
  --link NAME          a link of the configuration
  --tcp HOST[:PORT]    Modbus TCP without a configuration (port 502); also --udp, --rtu-over-tcp, --ascii-over-tcp
  --rtu PATH           Modbus RTU on a serial port (see millrace ports); also --ascii
  --baud N             speed of the serial port (default 19200)
  --parity P           even (default), none or odd;  --data-bits 7|8,  --stop-bits 1|2
  --timeout TIME       how long a unit may take to answer`;

export interface LineValues {
  readonly config?: string | undefined;
  readonly link?: string | undefined;
  readonly tcp?: string | undefined;
  readonly udp?: string | undefined;
  readonly rtu?: string | undefined;
  readonly ascii?: string | undefined;
  readonly "rtu-over-tcp"?: string | undefined;
  readonly "ascii-over-tcp"?: string | undefined;
  readonly baud?: string | undefined;
  readonly parity?: string | undefined;
  readonly "data-bits"?: string | undefined;
  readonly "stop-bits"?: string | undefined;
  readonly timeout?: string | undefined;
}

const NET = ["tcp", "udp", "rtu-over-tcp", "ascii-over-tcp"] as const;
const SERIAL = ["rtu", "ascii"] as const;
/** Device servers have no port of their own; this is the one most of them begin with. */
const DEFAULT_PORT: Readonly<Record<string, number>> = { tcp: 502, udp: 502 };

/** The transport that was named, as it would stand in a configuration; undefined where none was. @throws UsageError. */
export function transportIn(values: LineValues): Record<string, unknown> | undefined {
  const named = [...NET, ...SERIAL].filter((type) => values[type] !== undefined);
  const [type, ...more] = named;
  if (more.length > 0) throw new UsageError(`--${type} and --${more[0]}: one of them`);
  const isSerial = SERIAL.some((each) => each === type);
  const line = ["baud", "parity", "data-bits", "stop-bits"] as const;
  const stray = line.find((each) => values[each] !== undefined);
  if (stray !== undefined && !isSerial)
    throw new UsageError(`--${stray} is for a serial port: name it with --rtu PATH`);
  if (type === undefined) return undefined;
  if (values.link !== undefined) throw new UsageError(`--${type} and --link: one of them`);
  const text = values[type] ?? "";
  if (!isSerial) return { type, ...hostOf(type, text) };
  if (text === "") throw new UsageError(`--${type} needs the path of a serial port; see millrace ports`);
  return {
    type,
    path: text,
    ...numberIn(values, "baud", "baud"),
    ...(values.parity === undefined ? {} : { parity: values.parity }),
    ...numberIn(values, "data-bits", "dataBits"),
    ...numberIn(values, "stop-bits", "stopBits"),
  };
}

/** `timeout` as a key of a configuration. @throws UsageError. */
export function timeoutIn({ timeout }: LineValues): { timeout?: string } {
  if (timeout === undefined) return {};
  if (parseDuration(timeout) === undefined) {
    throw new UsageError(`--timeout "${timeout}" is not a duration; write 500ms or 2s`);
  }
  return { timeout };
}

/** `10.0.0.5`, `plc:1502`, `[::1]:502`, `::1`. */
function hostOf(type: string, text: string): { host: string; port: number } {
  const [, bracketed, tail] = /^\[([^\]]+)\](?::(\d+))?$/.exec(text) ?? [];
  const colons = text.split(":").length - 1;
  const at = colons === 1 ? text.indexOf(":") : -1;
  const host = bracketed ?? (at < 0 ? text : text.slice(0, at));
  const portText = bracketed === undefined ? (at < 0 ? undefined : text.slice(at + 1)) : tail;
  const port = portText === undefined ? DEFAULT_PORT[type] : Number(portText);
  if (host === "") throw new UsageError(`--${type} needs a host, such as --${type} 192.0.2.10`);
  if (port === undefined) throw new UsageError(`--${type} needs a port too, such as --${type} ${host}:4001`);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new UsageError(`--${type}: "${portText}" is not a port; write ${host}:502`);
  }
  return { host, port };
}

function numberIn(values: LineValues, option: "baud" | "data-bits" | "stop-bits", key: string): Record<string, number> {
  const text = values[option];
  if (text === undefined) return {};
  if (!/^\d+$/.test(text)) throw new UsageError(`--${option} "${text}" is not a number`);
  return { [key]: Number(text) };
}

/** A whole number option. @throws UsageError. */
export function countOption(name: string, text: string | undefined, least: number, most: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new UsageError(`--${name} "${text}" is not a whole number from ${least} to ${most}`);
}
