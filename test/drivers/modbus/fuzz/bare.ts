import { Socket } from "node:net";
import modbusSerial from "modbus-serial";
import { vi } from "vitest";
import type { Random } from "../../../support/random.ts";
import { FarSide } from "./far-side.ts";
import { judge, newTally, someQuestion, type Tally } from "./tally.ts";

const TIMEOUT_MS = 100;
/** Whoever uses it connects again when nothing is answered any more. */
const DEAF_QUESTIONS = 10;

/** A socket that is always open, and calls a function with what is written. */
class FakeSocket extends Socket {
  onWrite: (bytes: Buffer) => void = () => {};
  constructor() {
    super();
    Object.defineProperty(this, "readyState", { get: () => "open" });
  }
  override write(bytes: Uint8Array | string): boolean {
    this.onWrite(Buffer.from(bytes));
    return true;
  }
}

/** The same far side for modbus-serial as it comes, with a timeout, over its own port. Takes the clock for itself. */
export async function fuzzBare(kind: "tcp" | "rtu", deliveries: number, random: Random): Promise<Tally> {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    return await withFakeTime(kind, deliveries, random);
  } finally {
    vi.useRealTimers();
  }
}

async function withFakeTime(kind: "tcp" | "rtu", deliveries: number, random: Random): Promise<Tally> {
  const tally = newTally();
  let nowMs = 0;
  const far = new FarSide(kind, random, () => nowMs);
  let { modbus, socket } = connect(kind);
  let unanswered = 0;
  let heard: Parameters<typeof judge>[4] | undefined;
  let chunks: readonly Buffer[] = [];
  const onWrite = (bytes: Buffer) => {
    const known = far.owed;
    const delivery = far.reply(bytes);
    chunks = delivery.chunks;
    heard = { question: delivery.question, bytes: Buffer.concat(chunks), known };
  };
  socket.onWrite = onWrite;
  while (far.deliveries < deliveries) {
    const asked = someQuestion(random);
    const { unit, address, count } = asked;
    let open = true;
    const before = far.deliveries;
    const done = (error: unknown, result: { readonly buffer: Buffer } | undefined) => {
      if (open && !error && result && heard) judge(tally, kind, asked, result.buffer, heard);
      open = false;
    };
    if (asked.code === 1) modbus.writeFC1(unit, address, count, done);
    else if (asked.code === 2) modbus.writeFC2(unit, address, count, done);
    else if (asked.code === 3) modbus.writeFC3(unit, address, count, done);
    else modbus.writeFC4(unit, address, count, done);
    for (let turns = 0; far.deliveries === before; turns++) {
      if (turns > 100) throw new Error("modbus-serial does not ask");
      await Promise.resolve();
    }
    try {
      for (const chunk of chunks) socket.emit("data", chunk);
    } catch {
      tally.crashes++;
    }
    unanswered = open ? unanswered + 1 : 0;
    nowMs += random.whole(0, 50);
    vi.advanceTimersByTime(TIMEOUT_MS + 1);
    open = false;
    if (unanswered === DEAF_QUESTIONS) {
      ({ modbus, socket } = connect(kind));
      socket.onWrite = onWrite;
      far.forget();
      unanswered = 0;
    }
  }
  return { ...tally, deliveries: far.deliveries };
}

function connect(kind: "tcp" | "rtu") {
  const socket = new FakeSocket();
  const modbus = new modbusSerial.default();
  if (kind === "tcp") modbus.linkTCP(socket, { port: 502 }, () => {});
  else modbus.linkTelnet(socket, {}, () => {});
  modbus.on("error", () => {});
  modbus.setTimeout(TIMEOUT_MS);
  return { modbus, socket };
}
