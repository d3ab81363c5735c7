import { ConfigError, messageOf } from "../../../gateway/core/errors.ts";
import type { Logger } from "../../../gateway/core/log.ts";
import type { Recording, Replay, ReplayOptions } from "../../../gateway/core/recording.ts";
import type { LineEvents } from "../lines/line.ts";
import { ListenLine } from "../lines/listen-line.ts";
import { lineTo } from "../simulator/simulator.ts";

const LINE = /^(\d+) ([78])([NEO])([12])$/;
const PARITIES = { N: "none", E: "even", O: "odd" } as const;
/** More than any question has. */
const MAX_QUESTION = 256;

interface Said {
  readonly afterMs: number;
  readonly bytes: Buffer;
}

/** What a device said after each question, in the recorded order; and what it said before anybody had asked. */
interface Script {
  readonly unasked: Said[];
  readonly answers: Map<string, { readonly question: Buffer; readonly turns: Said[][]; at: number }>;
}

/**
 * A device that says what it said in the recording: unasked in the recorded times from the first connection on; where it was
 * asked, after each question, what followed it. The time between pieces is kept, because some framings go by it.
 */
export async function replaySerial(recording: Recording, options: ReplayOptions, log: Logger): Promise<Replay> {
  const script = scriptOf(recording);
  const timers = new Set<NodeJS.Timeout>();
  const later = (ms: number, action: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      action();
    }, ms);
    timers.add(timer);
  };
  const say = (all: readonly Said[]) => {
    for (const { afterMs, bytes } of all) later(afterMs, () => line.write(bytes));
  };
  const tell = () => {
    say(script.unasked);
    const lastMs = script.unasked.at(-1)?.afterMs ?? 0;
    if (options.atEnd === "loop" && script.unasked.length > 1) later(lastMs + (script.unasked[1]?.afterMs ?? 0), tell);
  };
  let heard: Buffer = Buffer.alloc(0);
  const stop = () => {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
  };
  let begun = false;
  const begin = () => {
    if (!begun) tell();
    begun = true;
  };
  const events: LineEvents = {
    data: (chunk) => {
      heard = Buffer.concat([heard, chunk]).subarray(-MAX_QUESTION);
      for (const answer of script.answers.values()) {
        const { question, turns } = answer;
        if (heard.length < question.length || !heard.subarray(-question.length).equals(question)) continue;
        heard = Buffer.alloc(0);
        const over = answer.at >= turns.length;
        if (over && options.atEnd === "loop") answer.at = 0;
        if (!over || options.atEnd !== "silence") say(turns[Math.min(answer.at++, turns.length - 1)] ?? []);
        return;
      }
    },
    joined: begin,
    left: () => {},
    closed: ({ message }) => {
      stop();
      log.debug({ error: message }, "the line of a replay is closed");
    },
  };
  const line = await lineTo(transportOf(recording, options), events);
  try {
    await line.open();
  } catch (error) {
    throw new ConfigError(`the recording cannot be played: ${messageOf(error)}`, { cause: error });
  }
  if (!(line instanceof ListenLine)) begin();
  return {
    address: line instanceof ListenLine ? `${line.address.host}:${line.address.port}` : (options.path ?? ""),
    content: `${script.answers.size} different questions, ${script.unasked.length} chunks unasked`,
    stop: async () => {
      stop();
      await line.close();
    },
  };
}

function scriptOf({ packets }: Recording): Script {
  const script: Script = { unasked: [], answers: new Map() };
  let turn: { readonly all: Said[]; readonly atMs: number } | undefined;
  const [first] = packets.filter(({ fromDevice }) => fromDevice);
  for (const { atMs, bytes, fromDevice } of packets) {
    if (fromDevice) {
      if (turn) turn.all.push({ afterMs: atMs - turn.atMs, bytes });
      else script.unasked.push({ afterMs: atMs - (first?.atMs ?? 0), bytes });
      continue;
    }
    const key = bytes.toString("hex");
    const known = script.answers.get(key) ?? { question: bytes, turns: [], at: 0 };
    turn = { all: [], atMs };
    known.turns.push(turn.all);
    script.answers.set(key, known);
  }
  return script;
}

function transportOf({ line, transport }: Recording, { path, port }: ReplayOptions): Parameters<typeof lineTo>[0] {
  if (path === undefined) {
    if (port === undefined && transport === "serial") {
      throw new ConfigError("it was recorded on a serial line: give --path for a serial port, or --port for TCP");
    }
    return { type: "tcp", host: "127.0.0.1", port: port ?? 0 };
  }
  const [, baud = "9600", dataBits, parity, stopBits] = LINE.exec(line ?? "") ?? [];
  return {
    type: "serial",
    path,
    baud: Number(baud),
    parity: parity === "E" || parity === "O" ? PARITIES[parity] : PARITIES.N,
    dataBits: dataBits === "7" ? 7 : 8,
    stopBits: stopBits === "2" ? 2 : 1,
    flow: "none",
  };
}
