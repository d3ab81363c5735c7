import { setImmediate as turn } from "node:timers/promises";
import { ExceptionError, ModbusClient } from "../../../../drivers/modbus/client.ts";
import { asciiFraming } from "../../../../drivers/modbus/ports/ascii-framing.ts";
import type { Channel, ChannelEvents, OpenChannel } from "../../../../drivers/modbus/ports/channel.ts";
import { IdPort } from "../../../../drivers/modbus/ports/id-port.ts";
import { LinePort } from "../../../../drivers/modbus/ports/line-port.ts";
import { untrustedFraming } from "../../../../drivers/modbus/ports/mbap.ts";
import { MalformedAnswerError } from "../../../../drivers/modbus/ports/port.ts";
import { rtuFraming } from "../../../../drivers/modbus/ports/rtu-framing.ts";
import type { Question } from "../../../../drivers/modbus/wire.ts";
import { NotConnectedError } from "../../../../gateway/core/errors.ts";
import type { Random } from "../../../support/random.ts";
import { FarSide, LATE_MS } from "./far-side.ts";
import { judge, newTally, someQuestion, type Tally } from "./tally.ts";
import type { WireKind, WireQuestion } from "./wires.ts";

const WINDOWS = { closedMs: LATE_MS, waryMs: 30_000 };

/** A wire to a far side in this process; answers come in a later turn, as they do from a socket. */
class MemoryChannel implements Channel {
  readonly #far: FarSide;
  readonly #events: ChannelEvents;
  heard: { question: WireQuestion; bytes: Buffer; known: () => readonly Buffer[] } | undefined;
  writes = 0;

  constructor(far: FarSide, events: ChannelEvents) {
    this.#far = far;
    this.#events = events;
  }
  open(): Promise<void> {
    return Promise.resolve();
  }
  write(bytes: Buffer): void {
    this.writes++;
    const known = this.#far.owed;
    const { question, chunks } = this.#far.reply(bytes);
    this.heard = { question, bytes: Buffer.concat(chunks), known };
    queueMicrotask(() => {
      for (const chunk of chunks) this.#events.data(chunk);
    });
  }
  close(): Promise<void> {
    this.#events.closed(new NotConnectedError("closed"));
    return Promise.resolve();
  }
}

/** Asks until the far side has answered so often, in its way. */
export async function fuzzOurs(kind: WireKind, deliveries: number, random: Random): Promise<Tally> {
  const tally = newTally();
  let nowMs = 0;
  const far = new FarSide(kind, random, () => nowMs);
  let channel: MemoryChannel | undefined;
  const openChannel: OpenChannel = (events) => {
    channel = new MemoryChannel(far, events);
    return channel;
  };
  const connect = async () => {
    far.forget();
    const client = new ModbusClient(portOf(kind, openChannel, () => nowMs));
    await client.open(1000, new AbortController().signal);
    return client;
  };
  let client = await connect();
  while (far.deliveries < deliveries) {
    const asked = someQuestion(random);
    nowMs += random.whole(0, 50);
    const before = channel?.writes;
    try {
      const value = await ask(client, asked, () => channel?.writes ?? 0);
      if (value && channel?.heard) judge(tally, kind, asked, value, channel.heard);
    } catch (error) {
      if (error instanceof NotConnectedError) client = await connect();
      else if (!(error instanceof ExceptionError || error instanceof MalformedAnswerError)) tally.crashes++;
    }
    // Nothing may be asked: all that could be late has to come, or not, first.
    if (channel?.writes === before) {
      nowMs += WINDOWS.waryMs;
      far.forget();
    }
  }
  await client.close();
  return { ...tally, deliveries: far.deliveries };
}

/** Undefined when nothing came; giving up is like a timeout, without the time. */
async function ask(
  client: ModbusClient,
  { unit, code, address, count }: Omit<WireQuestion, "id">,
  writes: () => number,
): Promise<Buffer | undefined> {
  const controller = new AbortController();
  const enough = new Error("enough");
  const question = { unit, functionCode: code, address, count } as Question;
  let settled = false;
  const answer = client.ask(question, { timeoutMs: 60_000, signal: controller.signal, most: 2000 }).finally(() => {
    settled = true;
  });
  const outcome = answer.catch((error: unknown) => {
    if (error === enough) return undefined;
    throw error;
  });
  outcome.catch(() => {});
  for (let seen = -1; !settled && writes() !== seen; await turn()) seen = writes();
  if (!settled) controller.abort(enough);
  return await outcome;
}

function portOf(kind: WireKind, openChannel: OpenChannel, now: () => number) {
  const count = () => {};
  if (kind === "tcp" || kind === "udp") return new IdPort(openChannel, { stream: kind === "tcp", slots: 1 }, count);
  const framing = kind === "rtu" ? rtuFraming : kind === "ascii" ? asciiFraming : untrustedFraming(0);
  return new LinePort(openChannel, { framing, silenceMs: 0, windows: WINDOWS, stream: true, now }, count);
}
