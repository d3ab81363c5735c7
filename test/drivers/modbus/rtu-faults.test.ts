import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { ModbusDriver } from "../../../drivers/modbus/driver.ts";
import { SimulatedRtuServer } from "../../../drivers/modbus/simulator/rtu-server.ts";
import { SimulatedUnit, type Tamper } from "../../../drivers/modbus/simulator/server.ts";
import { withCrc } from "../../../drivers/modbus/wire.ts";
import { TimeoutError } from "../../../gateway/core/driver.ts";
import { NotConnectedError } from "../../../gateway/core/errors.ts";
import { deviceOf, driverOf, FrameCounts, live, readAll, valuesOf } from "./bench.ts";
import { type PtyPair, ptyPair } from "./pty.ts";

/** Every register holds unit × 10000 + its own address, so a value of another place is wrong. */
const word = (at: number) => ({ address: `holding:${at}`, type: "uint16" });
const A = deviceOf({ unit: 1 }, { a: word(100), b: word(101), c: word(102) });
const B = deviceOf({ unit: 1 }, { a: word(200), b: word(201), c: word(202) });
const ONE = deviceOf({ unit: 1 }, { a: word(300) });
const OTHER_ONE = deviceOf({ unit: 1 }, { a: word(350) });
const NEIGHBOUR = deviceOf({ unit: 2 }, { a: word(100), b: word(101), c: word(102) });
const RIGHT_A = { a: 10_100, b: 10_101, c: 10_102 };
const RIGHT_B = { a: 10_200, b: 10_201, c: 10_202 };
const RIGHT_NEIGHBOUR = { a: 20_100, b: 20_101, c: 20_102 };

let line: PtyPair;
let server: SimulatedRtuServer;
let driver: ModbusDriver;
let counts: FrameCounts;

beforeAll(async () => {
  line = await ptyPair();
});
afterAll(() => line.stop());

beforeEach(async () => {
  const units = [1, 2].map((unit) => {
    const simulated = new SimulatedUnit(unit);
    simulated.registers.set(
      "holding",
      0,
      Array.from({ length: 400 }, (_, at) => unit * 10_000 + at),
    );
    return simulated;
  });
  server = new SimulatedRtuServer({ type: "rtu", path: line.b, baud: 115_200, parity: "none", dataBits: 8 }, units);
  await server.start();
  counts = new FrameCounts();
  driver = driverOf(
    { transport: { type: "rtu", path: line.a, baud: 115_200, parity: "none" }, timeout: "100ms" },
    counts,
  );
  await driver.connect(live());
});
afterEach(async () => {
  await driver.close();
  await server.stop();
});

/** Tampers with the answers whose turn it is, counted from 0; the others pass. */
function tamper(turns: readonly number[], how: Tamper): void {
  let turn = 0;
  server.tamper = (exchange) => (turns.includes(turn++) ? how(exchange) : undefined);
}

describe("modbus rtu", () => {
  it("reads what it asked for", async () => {
    expect(await valuesOf(driver, A)).toEqual(RIGHT_A);
    expect(await valuesOf(driver, NEIGHBOUR)).toEqual(RIGHT_NEIGHBOUR);
    expect(counts.of("answer")).toBe(2);
  });

  it("never takes a late answer for the next one of the same shape", async () => {
    tamper([0], ({ answer }) => ({ chunks: [answer], delayMs: 150 }));
    await expect(readAll(driver, A)).rejects.toBeInstanceOf(TimeoutError);
    expect(await valuesOf(driver, B)).toEqual(RIGHT_B);
    expect(counts.of("late")).toBe(1);
    for (let round = 0; round < 10; round++)
      expect(await valuesOf(driver, round % 2 ? A : B)).toEqual(round % 2 ? RIGHT_A : RIGHT_B);
  });

  it.each([1, 2, 3, 5])(
    "never takes an answer that comes %i requests late, although others came before",
    async (late) => {
      let held: Buffer | undefined;
      let turn = 0;
      server.tamper = ({ answer }) => {
        turn++;
        if (turn === 1) {
          held = answer;
          return { chunks: [] };
        }
        return turn === 1 + late && held ? { chunks: [held, answer] } : undefined;
      };
      await expect(readAll(driver, A)).rejects.toBeInstanceOf(TimeoutError);
      for (let round = 0; round < 10; round++)
        expect(await valuesOf(driver, round % 2 ? A : B)).toEqual(round % 2 ? RIGHT_A : RIGHT_B);
      expect(counts.of("late")).toBe(1);
    },
  );

  it("does not wait for a late answer before it asks the neighbour", async () => {
    tamper([0], ({ answer }) => ({ chunks: [answer], delayMs: 200 }));
    await expect(readAll(driver, A)).rejects.toBeInstanceOf(TimeoutError);
    expect(await valuesOf(driver, NEIGHBOUR)).toEqual(RIGHT_NEIGHBOUR);
    expect(counts.of("late")).toBe(0);
  });

  it("goes on at once after an answer that was lost", async () => {
    tamper([0], () => ({ chunks: [] }));
    await expect(readAll(driver, A)).rejects.toBeInstanceOf(TimeoutError);
    const asked = server.unit(1)?.asked ?? 0;
    expect(await valuesOf(driver, B)).toEqual(RIGHT_B);
    // A longer question, so that the lost answer, should it come, is not taken for this one.
    expect(server.unit(1)?.asked).toBe(asked + 1);
    expect(await valuesOf(driver, A)).toEqual(RIGHT_A);
    expect(server.unit(1)?.asked).toBe(asked + 2);
  });

  it("tells late answers apart where a value is a single register at the end of the map", async () => {
    const last = deviceOf({ unit: 1 }, { a: word(399) });
    tamper([0], ({ answer }) => ({ chunks: [answer], delayMs: 150 }));
    await expect(readAll(driver, ONE)).rejects.toBeInstanceOf(TimeoutError);
    // Reading one register more is refused there; the refusal could be the late answer, so time has to pass.
    expect(await valuesOf(driver, last)).toEqual({ a: 10_399 });
    expect(await valuesOf(driver, OTHER_ONE)).toEqual({ a: 10_350 });
  });

  it("does not take a late refusal for the next answer", async () => {
    const hole = deviceOf({ unit: 1 }, { a: word(1000), b: word(1001), c: word(1002) });
    tamper([0], ({ answer }) => ({ chunks: [answer], delayMs: 150 }));
    await expect(readAll(driver, hole)).rejects.toBeInstanceOf(TimeoutError);
    expect(await valuesOf(driver, ONE)).toEqual({ a: 10_300 });
    expect(await valuesOf(driver, A)).toEqual(RIGHT_A);
    expect(counts.of("exception")).toBe(0);
  });

  it("asks another unit while one is silent, and that one again when it is back", async () => {
    const unit = server.unit(1);
    if (!unit) throw new Error("there is a unit 1");
    unit.silent = true;
    await expect(readAll(driver, A)).rejects.toBeInstanceOf(TimeoutError);
    await expect(driver.probe(A, live())).rejects.toBeInstanceOf(TimeoutError);
    expect(await valuesOf(driver, NEIGHBOUR)).toEqual(RIGHT_NEIGHBOUR);
    unit.silent = false;
    await driver.probe(A, live());
    expect(await valuesOf(driver, A)).toEqual(RIGHT_A);
  });

  it.each<[string, Tamper, string]>([
    ["a bad checksum", ({ answer }) => ({ chunks: [flipped(answer, answer.length - 1)] }), "crc"],
    ["a flipped bit", ({ answer }) => ({ chunks: [flipped(answer, 4)] }), "crc"],
    ["a byte missing", ({ answer }) => ({ chunks: [answer.subarray(0, -1)] }), "truncated"],
    ["another unit", ({ answer }) => ({ chunks: [resigned(answer, { 0: 2 })] }), "foreign"],
    ["another function", ({ answer }) => ({ chunks: [resigned(answer, { 1: 4 })] }), "foreign"],
    [
      "fewer registers",
      ({ answer }) => ({ chunks: [withCrc(Buffer.concat([Buffer.from([1, 3, 4]), answer.subarray(3, 7)]))] }),
      "malformed",
    ],
    [
      "more registers",
      ({ answer }) => ({
        chunks: [withCrc(Buffer.concat([Buffer.from([1, 3, 8]), answer.subarray(3, 9), Buffer.of(0, 0)]))],
      }),
      "malformed",
    ],
    ["a byte count that lies", ({ answer }) => ({ chunks: [resigned(answer, { 2: 4 })] }), "noise"],
  ])("does not take an answer with %s, and is right again at once", async (_, how, kind) => {
    tamper([0], how);
    await expect(readAll(driver, A)).rejects.toBeInstanceOf(TimeoutError);
    expect(await valuesOf(driver, B)).toEqual(RIGHT_B);
    expect(counts.of(kind)).toBeGreaterThanOrEqual(1);
  });

  it("takes an answer that comes byte by byte, whatever the pauses", async () => {
    server.tamper = ({ answer }) => ({ chunks: Array.from(answer, (byte) => Buffer.of(byte)) });
    for (let round = 0; round < 5; round++) expect(await valuesOf(driver, A)).toEqual(RIGHT_A);
  });

  it("finds the answer between noise", async () => {
    const noise = Buffer.from("00ff01030703fe", "hex");
    server.tamper = ({ answer }) => ({ chunks: [noise, answer, noise] });
    for (let round = 0; round < 5; round++) {
      expect(await valuesOf(driver, A)).toEqual(RIGHT_A);
      expect(await valuesOf(driver, NEIGHBOUR)).toEqual(RIGHT_NEIGHBOUR);
    }
  });

  it("lives with a line that hears itself", async () => {
    server.tamper = ({ answer, question }) => ({ chunks: [question, answer] });
    for (let round = 0; round < 5; round++) expect(await valuesOf(driver, A)).toEqual(RIGHT_A);
    expect(counts.of("echo")).toBe(5);
  });

  it("does not take its own echo for an answer, where both look alike", async () => {
    const unit = server.unit(1);
    unit?.registers.set(
      "coil",
      768,
      Array.from({ length: 40 }, () => 1),
    );
    const tags = Object.fromEntries([768, 784].map((at) => [`c${at}`, { address: `coil:${at}`, type: "bool" }]));
    const device = deviceOf({ unit: 1 }, tags);
    server.tamper = ({ question }) => ({ chunks: [question] });
    // 17 coils from 0x0300: the question reads like an answer with three bytes of coils.
    await expect(readAll(driver, device)).rejects.toBeInstanceOf(TimeoutError);
    server.tamper = ({ answer, question }) => ({ chunks: [question, answer] });
    expect(await valuesOf(driver, device)).toEqual({ c768: true, c784: true });
  });

  it("drops what comes without a question, and what comes twice", async () => {
    server.tamper = ({ answer }) => ({ chunks: [answer, answer] });
    for (let round = 0; round < 10; round++) {
      server.say(withCrc(Buffer.from([1, 3, 6, 9, 9, 9, 9, 9, 9])));
      await vi.waitFor(() => expect(counts.of("foreign") + counts.of("late")).toBeGreaterThan(round * 2));
      expect(await valuesOf(driver, round % 2 ? A : B)).toEqual(round % 2 ? RIGHT_A : RIGHT_B);
      await vi.waitFor(() => expect(counts.of("foreign") + counts.of("late")).toBe(round * 2 + 2));
    }
  });

  it("shows a refusal as a bad sample", async () => {
    const hole = deviceOf({ unit: 1 }, { a: word(1000) });
    expect(await valuesOf(driver, hole)).toEqual({ a: "[illegal data address]" });
    await driver.probe(hole, live());
  });

  it("reads the longest answer there is", async () => {
    const places = Array.from({ length: 125 }, (_, at) => at);
    const device = deviceOf({ unit: 1 }, Object.fromEntries(places.map((at) => [`w${at}`, word(at)])));
    expect(driver.plan(device, device.tags, {})).toHaveLength(1);
    expect(await valuesOf(driver, device)).toEqual(Object.fromEntries(places.map((at) => [`w${at}`, 10_000 + at])));
  });

  it("says what must wait for an answer that may still come, and what need not", async () => {
    const places = Array.from({ length: 125 }, (_, at) => at);
    const longest = deviceOf({ unit: 1 }, Object.fromEntries(places.map((at) => [`w${at}`, word(at)])));
    const [long] = driver.plan(longest, longest.tags, {});
    const [short] = driver.plan(A, A.tags, {});
    if (!long || !short) throw new Error("nothing planned");
    expect(driver.heldMs(longest, long)).toBe(0);
    server.tamper = () => ({ chunks: [] });
    await expect(driver.read(long, live())).rejects.toBeInstanceOf(TimeoutError);
    await expect(driver.read(short, live())).rejects.toBeInstanceOf(TimeoutError);
    server.tamper = undefined;
    // No question is longer than the longest; a longer one stands in for the short one at once.
    expect(driver.heldMs(longest, long)).toBeGreaterThan(0);
    expect(driver.heldMs(A, short)).toBe(0);
    expect(driver.heldMs(longest, "write")).toBe(0);
    expect((await driver.read(short, live())).map((sample) => sample.value)).toEqual([10_100, 10_101, 10_102]);
  });

  it("goes on after a read that was aborted, with the same question", async () => {
    const [request] = driver.plan(A, A.tags, {});
    if (!request) throw new Error("nothing planned");
    for (let round = 0; round < 10; round++) {
      const controller = new AbortController();
      const reading = driver.read(request, controller.signal);
      controller.abort(new Error("enough"));
      await expect(reading).rejects.toThrow("enough");
      expect((await driver.read(request, live())).map((sample) => sample.value)).toEqual([10_100, 10_101, 10_102]);
    }
  });

  it("publishes no wrong value, whatever goes wrong at random", async () => {
    let seed = 12_345;
    const random = () => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return seed / 0x8000_0000;
    };
    const faults: readonly Tamper[] = [
      ({ answer }) => ({ chunks: [answer], delayMs: 30 }),
      ({ answer }) => ({ chunks: [answer], delayMs: 60 }),
      ({ answer }) => ({ chunks: [flipped(answer, 5)] }),
      ({ answer }) => ({ chunks: [answer.subarray(0, 6)] }),
      // In one piece: apart, with a pause between them, nobody could tell the second from an answer to the next question.
      ({ answer }) => ({ chunks: [Buffer.concat([answer, answer])] }),
      ({ answer, question }) => ({ chunks: [question, Buffer.of(0), answer] }),
      () => ({ chunks: [] }),
    ];
    server.tamper = (exchange) =>
      random() < 0.25 ? faults[Math.floor(random() * faults.length)]?.(exchange) : undefined;
    await driver.close();
    driver = driverOf(
      { transport: { type: "rtu", path: line.a, baud: 115_200, parity: "none" }, timeout: "20ms" },
      counts,
    );
    await driver.connect(live());
    const places = [
      { device: A, right: RIGHT_A },
      { device: B, right: RIGHT_B },
      { device: NEIGHBOUR, right: RIGHT_NEIGHBOUR },
      { device: ONE, right: { a: 10_300 } },
      { device: OTHER_ONE, right: { a: 10_350 } },
    ];
    let good = 0;
    for (let round = 0; round < 60; round++) {
      const place = places[Math.floor(random() * places.length)];
      if (!place) continue;
      try {
        expect(await valuesOf(driver, place.device)).toEqual(place.right);
        good++;
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error;
      }
    }
    expect(good).toBeGreaterThan(25);
  }, 60_000);
});

describe("a serial port that goes away", () => {
  it("is noticed, and a new one works", async () => {
    const pair = await ptyPair();
    const link = { transport: { type: "rtu", path: pair.a, baud: 115_200, parity: "none" }, timeout: "5s" };
    const lost = driverOf(link);
    await lost.connect(live());
    const reading = expect(readAll(lost, A)).rejects.toBeInstanceOf(NotConnectedError);
    await pair.stop();
    await reading;
    await expect(readAll(lost, A)).rejects.toBeInstanceOf(NotConnectedError);
    await expect(lost.connect(live())).rejects.toBeInstanceOf(NotConnectedError);
    await lost.close();
  });

  it("cannot be opened twice at once", async () => {
    const second = driverOf({ transport: { type: "rtu", path: line.a, baud: 115_200, parity: "none" } });
    await expect(second.connect(live())).rejects.toBeInstanceOf(NotConnectedError);
    await second.close();
    expect(await valuesOf(driver, A)).toEqual(RIGHT_A);
  });
});

function flipped(frame: Buffer, at: number): Buffer {
  const copy = Buffer.from(frame);
  copy[at] = (copy[at] ?? 0) ^ 0x10;
  return copy;
}

/** The same frame with bytes changed and a right checksum. */
function resigned(frame: Buffer, bytes: Readonly<Record<number, number>>): Buffer {
  const copy = Buffer.from(frame.subarray(0, -2));
  for (const [at, byte] of Object.entries(bytes)) copy[Number(at)] = byte;
  return withCrc(copy);
}
