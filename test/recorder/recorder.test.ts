import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { modbusModule } from "../../drivers/modbus/module.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { recorderOptions } from "../../gateway/core/options/recorder.ts";
import { readRecording } from "../../gateway/recorder/read-recording.ts";
import { Recorder, type RecorderParts } from "../../gateway/recorder/recorder.ts";
import { ENDS, HandClock } from "./support.ts";

const ASK = Buffer.from("000100000006010300000001", "hex");
const ANSWER = Buffer.from("0001000000050103020007", "hex");

let dataDir = "";
let clock = new HandClock();
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "millrace-recorder-"));
  clock = new HandClock();
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

function recorderOf(options: object = {}, parts: Partial<RecorderParts> = {}): Recorder {
  const transport = { type: "tcp", host: "192.0.2.10", port: 1502 };
  const capture = modbusModule.recording?.capture(modbusModule.linkSchema.parse({ transport }), []);
  return new Recorder({
    dataDir,
    gatewayId: "shop",
    version: "1.2.3",
    clock,
    log: silentLogger,
    minFree: 0,
    links: [
      { name: "plc 1", driver: "modbus", options: recorderOptions.parse(options), capture },
      { name: "plant", driver: "simulated", options: recorderOptions.parse({}), capture: undefined },
    ],
    times: { afterMs: 1, againMs: 60_000 },
    ...parts,
  });
}

async function bytesOf(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

const files = () => readdir(join(dataDir, "recordings")).catch((): string[] => []);
const live = () => new AbortController().signal;

describe("the flight recorder", () => {
  it("gives what passed last on a link", async () => {
    const recorder = recorderOf();
    const tap = recorder.tap("plc 1");
    tap?.opened(ENDS);
    tap?.sent(ASK);
    clock.monoMs += 12;
    tap?.received(ANSWER);
    expect(recorder.status()[0]).toMatchObject({ link: "plc 1", recording: true, chunks: 3, bytes: 23, ageMs: 12 });
    const { packets } = readRecording(await bytesOf(recorder.record("plc 1", undefined, live())));
    expect(packets.map(({ bytes, fromDevice, atMs }) => [bytes, fromDevice, atMs])).toEqual([
      [ASK, false, 0],
      [ANSWER, true, 12],
    ]);
  });

  it("gives a full ring whole, although others have their turn meanwhile", async () => {
    const recorder = recorderOf({ size: "256KiB" });
    const tap = recorder.tap("plc 1");
    tap?.opened(ENDS);
    for (let n = 0; n < 20_000; n++) {
      tap?.sent(ASK);
      tap?.received(ANSWER);
    }
    const { packets } = readRecording(await bytesOf(recorder.record("plc 1", undefined, live())));
    expect(packets.length).toBeGreaterThan(4_000);
    expect(packets.length).toBeLessThan(6_000);
  });

  it("is not led astray by a step of the wall clock", async () => {
    const recorder = recorderOf();
    const tap = recorder.tap("plc 1");
    tap?.opened(ENDS);
    tap?.sent(ASK);
    clock.offsetMs += 3_600_000;
    clock.monoMs += 5;
    tap?.received(ANSWER);
    const { packets } = readRecording(await bytesOf(recorder.record("plc 1", undefined, live())));
    expect(packets.map(({ atMs }) => atMs)).toEqual([0, 5]);
  });

  it("follows for a time, and ends early when it is told to", async () => {
    const recorder = recorderOf();
    const tap = recorder.tap("plc 1");
    tap?.opened(ENDS);
    tap?.sent(ASK);
    const controller = new AbortController();
    const pieces = recorder.record("plc 1", 60_000, controller.signal)[Symbol.asyncIterator]();
    const header = await pieces.next();
    tap?.sent(ASK);
    tap?.received(ANSWER);
    tap?.sent(ASK);
    const all = [header.value];
    for (let piece = await pieces.next(); !piece.done; piece = await pieces.next()) {
      all.push(piece.value);
      controller.abort();
    }
    expect(readRecording(Buffer.concat(all)).packets).toHaveLength(3);
  });

  it("says which links there are, and why one cannot be recorded", () => {
    const recorder = recorderOf({ off: true });
    expect(recorder.tap("plc 1")).toBeUndefined();
    expect(() => recorder.record("plc", undefined, live())).toThrow('no link "plc"; there are: plc 1, plant');
    expect(() => recorder.record("plc 1", undefined, live())).toThrow("the recorder of link plc 1 is off");
    expect(() => recorder.record("plant", undefined, live())).toThrow("driver simulated cannot be recorded");
    expect(recorder.status().map(({ recording }) => recording)).toEqual([false, false]);
  });

  it("writes one file after a fault, with what came right after it, for nobody else to read", async () => {
    const recorder = recorderOf();
    const tap = recorder.tap("plc 1");
    tap?.opened(ENDS);
    tap?.sent(ASK);
    recorder.fault("plc 1", "press/1 does not answer");
    for (let n = 0; n < 100; n++) tap?.fault("foreign frame");
    tap?.received(ANSWER);
    await vi.waitFor(async () => expect(await files()).toHaveLength(1));
    const [name = ""] = await files();
    expect(name).toMatch(/^plc_1-\d{8}T\d{6}Z-press_1_does_not_answer\.pcapng$/);
    const path = join(dataDir, "recordings", name);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(readRecording(await readFile(path)).packets).toHaveLength(2);
    clock.monoMs += 59_000;
    tap?.fault("foreign frame");
    await recorder.stop();
    expect(await files()).toHaveLength(1);
  });

  it("writes what is due when it is stopped, and again after some time", async () => {
    const recorder = recorderOf({}, { times: { afterMs: 60_000, againMs: 1_000 } });
    recorder.fault("plc 1", "one");
    await recorder.stop();
    await recorder.stop();
    expect(await files()).toHaveLength(1);
  });

  it("writes nothing where onFault is off, or the disk is too full", async () => {
    const quiet = recorderOf({ onFault: false });
    quiet.fault("plc 1", "one");
    await quiet.stop();
    const full = recorderOf({}, { minFree: Number.MAX_SAFE_INTEGER });
    full.fault("plc 1", "one");
    await full.stop();
    expect(await files()).toEqual([]);
  });

  it("keeps so many files and so many bytes of them; the oldest go", async () => {
    const limits = { files: 3, bytes: 1_000_000 };
    for (let n = 0; n < 5; n++) {
      const recorder = recorderOf({}, { limits });
      clock.monoMs += 1_000;
      recorder.fault("plc 1", `number ${n}`);
      await recorder.stop();
    }
    const kept = await files();
    expect(kept).toHaveLength(3);
    expect(kept.some((name) => name.includes("number_4"))).toBe(true);
    await writeFile(join(dataDir, "recordings", ".x.part"), "left behind");
    const small = recorderOf({}, { limits: { files: 3, bytes: 1 } });
    clock.monoMs += 1_000;
    small.fault("plc 1", "last");
    await small.stop();
    expect(await files()).toEqual([expect.stringContaining("last")]);
  });
});
