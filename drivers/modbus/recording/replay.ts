import { ConfigError, messageOf } from "../../../gateway/core/errors.ts";
import type { Logger } from "../../../gateway/core/log.ts";
import type { Recording, Replay, ReplayOptions } from "../../../gateway/core/recording.ts";
import { answerOf, isCommand } from "../command.ts";
import type { SerialTransport } from "../options.ts";
import { type ModbusServer, SimulatedUnit, type Tamper } from "../simulator/server.ts";
import { SimulatedTcpServer } from "../simulator/tcp-server.ts";
import { SimulatedUdpServer } from "../simulator/udp-server.ts";
import { asciiWire, mbapWire, rtuWire, type ServerWire } from "../simulator/wires.ts";
import { askIn, type Exchange, exchangesOf, keyOf } from "./exchanges.ts";

const HOST = "127.0.0.1";
const TARGET_SILENT = 0x0b;
const LINE = /^(\d+) ([78])([NEO])([12])$/;
const PARITIES = { N: "none", E: "even", O: "odd" } as const;
const MOST_REPORTED = 1_000;

/** A device that answers each question as it was answered in the recording, in the recorded order. */
export async function replayModbus(recording: Recording, options: ReplayOptions, log: Logger): Promise<Replay> {
  const exchanges = exchangesOf(recording);
  if (exchanges.length === 0) throw new ConfigError("there is no Modbus question in this recording");
  const type = typeOf(recording.transport, options);
  const wire = wireOf(type);
  const units = Array.from({ length: 256 }, (_, unit) => new SimulatedUnit(unit));
  const { server, start } = await serverOf(type, recording, options, units, wire);
  server.tamper = tamperOf(new Script(exchanges, options.atEnd), wire, options, log);
  try {
    const address = await start();
    return { address, content: contentOf(exchanges), stop: () => server.stop() };
  } catch (error) {
    throw new ConfigError(`the recording cannot be played: ${messageOf(error)}`, { cause: error });
  }
}

/** The answers to each question in their order. */
class Script {
  readonly #steps = new Map<string, { readonly exchanges: Exchange[]; at: number }>();
  readonly #atEnd: ReplayOptions["atEnd"];

  constructor(exchanges: readonly Exchange[], atEnd: ReplayOptions["atEnd"]) {
    this.#atEnd = atEnd;
    for (const exchange of exchanges) {
      const known = this.#steps.get(exchange.key);
      if (known) known.exchanges.push(exchange);
      else this.#steps.set(exchange.key, { exchanges: [exchange], at: 0 });
    }
  }

  /** Undefined where the question was never recorded; "over" where nothing is said any more. */
  next(key: string): Exchange | "over" | undefined {
    const steps = this.#steps.get(key);
    if (!steps) return undefined;
    const { exchanges } = steps;
    if (steps.at >= exchanges.length) {
      if (this.#atEnd === "silence") return "over";
      if (this.#atEnd === "repeat") return exchanges.at(-1);
      steps.at = 0;
    }
    return exchanges[steps.at++];
  }
}

function tamperOf(script: Script, wire: ServerWire, options: ReplayOptions, log: Logger): Tamper {
  const reported = new Set<string>();
  const unknown = (body: Buffer, key: string) => {
    if (!reported.has(key) && reported.size < MOST_REPORTED) {
      reported.add(key);
      const { address, count } = askIn(body) ?? {};
      const fields = { unit: body[0], function: body[1], address, count };
      log.warn(fields, "asked for something that is not in the recording");
    }
    if (options.unknown === "silence") return undefined;
    return Buffer.from([body[0] ?? 0, (body[1] ?? 0) | 0x80, TARGET_SILENT]);
  };
  return ({ question }) => {
    const body = wire.bodyOf(question);
    const key = keyOf(body);
    const step = script.next(key);
    const ask = askIn(body);
    let answer: Buffer | undefined;
    if (step === undefined) answer = unknown(body, key);
    else if (step !== "over") answer = step.confirms && ask && isCommand(ask) ? answerOf(ask) : step.answer;
    const delayMs = options.delays && typeof step === "object" ? step.delayMs : 0;
    return { chunks: answer ? [wire.frame(question, answer)] : [], delayMs };
  };
}

type Type = "tcp" | "udp" | "rtu" | "ascii" | "rtu-over-tcp" | "ascii-over-tcp";

/** As recorded, unless a port is given where there was a line, or the other way round. */
function typeOf(recorded: string, { path, port }: ReplayOptions): Type {
  const isAscii = recorded === "ascii" || recorded === "ascii-over-tcp";
  if (path !== undefined) return isAscii ? "ascii" : "rtu";
  if (recorded === "tcp" || recorded === "udp") return recorded;
  if (port === undefined && (recorded === "rtu" || recorded === "ascii")) {
    throw new ConfigError("it was recorded on a serial line: give --path for a serial port, or --port for TCP");
  }
  return isAscii ? "ascii-over-tcp" : "rtu-over-tcp";
}

function wireOf(type: Type): ServerWire {
  if (type === "tcp" || type === "udp") return mbapWire;
  return type === "rtu" || type === "rtu-over-tcp" ? rtuWire : asciiWire;
}

async function serverOf(
  type: Type,
  recording: Recording,
  { path = "", port = 0 }: ReplayOptions,
  units: readonly SimulatedUnit[],
  wire: ServerWire,
): Promise<{ server: ModbusServer & { stop(): Promise<void> }; start: () => Promise<string> }> {
  if (type === "rtu" || type === "ascii") {
    const { SimulatedRtuServer } = await import("../simulator/rtu-server.ts");
    const server = new SimulatedRtuServer(lineOf(type, path, recording.line), units);
    return { server, start: () => server.start().then(() => path) };
  }
  const server =
    type === "udp" ? new SimulatedUdpServer(HOST, port, units) : new SimulatedTcpServer(HOST, port, units, wire);
  return { server, start: () => server.start().then(() => `${HOST}:${server.address.port}`) };
}

function lineOf(type: "rtu" | "ascii", path: string, recorded: string | undefined): SerialTransport {
  const [, baud = "19200", dataBits = type === "rtu" ? "8" : "7", parity = "E", stopBits = "1"] =
    LINE.exec(recorded ?? "") ?? [];
  return {
    type,
    path,
    baud: Number(baud),
    dataBits: dataBits === "7" ? 7 : 8,
    parity: parity === "N" || parity === "O" ? PARITIES[parity] : PARITIES.E,
    stopBits: stopBits === "2" ? 2 : 1,
  };
}

function contentOf(exchanges: readonly Exchange[]): string {
  const questions = new Set(exchanges.map(({ key }) => key)).size;
  const silent = exchanges.filter(({ answer }) => answer === undefined).length;
  const units = [...new Set(exchanges.map(({ unit }) => unit))].sort((a, b) => a - b).join(", ");
  const answers = `${exchanges.length - silent} answers`;
  return `${questions} different questions, ${answers}${silent > 0 ? `, ${silent} times none` : ""}; units ${units}`;
}
