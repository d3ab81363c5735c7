import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checksumOf } from "../../../drivers/serial/framing/checksum.ts";
import type { Sample } from "../../../gateway/core/sample.ts";
import { type PtyPair, ptyPair } from "../modbus/pty.ts";
import { deviceOf, driverOf, type FarEnd, farEnd, live, Notes, readAll, until, valuesOf } from "./bench.ts";

/** A stream of telegrams with garbage in it, cut in two at every byte over a real pseudo-terminal. */
const SCALE = {
  framing: { type: "delimiter", delimiter: "\r\n", unfinished: "1m" },
  device: { parse: { pattern: "^S (?<status>[SD]) +(?<weight>-?[0-9.]+) (?<unit>kg|g)$" } },
  tags: { weight: { type: "float64" }, stable: { type: "bool", field: "status", trueIs: ["S"] } },
  stream: "S S     12.345 kg\r\nS D     -0.010 kg\r\n??\r\nS S      7.5 kg\r\n",
  expected: [
    { weight: 12.345, stable: true },
    { weight: -0.01, stable: false },
    { weight: "[the pattern does not match]", stable: "[the pattern does not match]" },
    { weight: 7.5, stable: true },
  ],
};
const SCANNER = {
  framing: { type: "delimiter", delimiter: ["\r\n", "\r"], unfinished: "1m" },
  device: {},
  tags: { code: { type: "string", stream: "events" } },
  stream: "4006381333931\r\n0123\r]C1004006381\r\n\r\nA-1\r\n",
  expected: [{ code: "4006381333931" }, { code: "0123" }, { code: "]C1004006381" }, { code: "A-1" }],
};
/** Start, length of the whole, id, level, CRC. */
function frame(id: number, level: number): Buffer {
  const body = Buffer.from([0xaa, 0x55, 0, 10, id >> 8, id & 0xff, level >> 8, level & 0xff]);
  return Buffer.concat([body, checksumOf(body, { type: "crc16-modbus", encoding: "binary" })]);
}
function prefixed() {
  const corrupt = frame(3, 3);
  corrupt[9] = (corrupt[9] ?? 0) ^ 0xff;
  const wrong = "wrong checksum";
  return {
    framing: {
      type: "length-prefix",
      start: { hex: "AA 55" },
      offset: 2,
      counts: "whole",
      checksum: { type: "crc16-modbus" },
      unfinished: "1m",
    },
    device: { parse: { encoding: "hex", columns: { id: "1-4", level: "5-8" } } },
    tags: { id: { type: "int64", radix: 16 }, level: { type: "int64", radix: 16 } },
    // A content that looks like a start, noise with half a start in it, and one telegram with a wrong sum.
    stream: Buffer.concat([frame(1, 0xaa55), frame(2, 0), Buffer.from("00AA13AA", "hex"), corrupt, frame(0xffff, 7)]),
    expected: [
      { id: 1, level: 0xaa55 },
      { id: 2, level: 0 },
      { id: `[${wrong}]`, level: `[${wrong}]` },
      { id: 0xffff, level: 7 },
    ],
  };
}

let line: PtyPair;
let far: FarEnd;
beforeAll(async () => {
  line = await ptyPair();
  far = await farEnd(line.b);
});
afterAll(async () => {
  await far.close();
  await line.stop();
});

describe.each([
  ["a scale that speaks by itself", SCALE],
  ["a scanner", SCANNER],
  ["a length-prefixed device", prefixed()],
] as const)("%s", (_name, { framing, device, tags, stream, expected }) => {
  it("says the same wherever the pieces begin and end", async () => {
    const bytes = typeof stream === "string" ? Buffer.from(stream, "latin1") : stream;
    const notes = new Notes();
    const driver = driverOf({ transport: { path: line.a, baud: 115_200 }, framing }, notes);
    await driver.connect(live());
    const speaker = deviceOf("speaker", device, tags);
    const ending = new AbortController();
    let seen: Record<string, unknown>[] = [];
    const emit = (samples: readonly Sample[]) => void seen.push(valuesOf(samples));
    const listening = driver.listen(speaker, speaker.tags, emit, ending.signal);
    for (let at = 0; at <= bytes.length; at++) {
      seen = [];
      const beforeBytes = notes.of("bytes");
      await far.say(bytes.subarray(0, at));
      await until(() => notes.of("bytes") === beforeBytes + at);
      await far.say(bytes.subarray(at));
      await until(() => notes.of("bytes") === beforeBytes + bytes.length);
      expect(seen, `cut at byte ${at}`).toEqual(expected);
    }
    ending.abort();
    await listening;
    await driver.close();
  });
});

it("a scale that is asked is understood in whatever two pieces it answers", async () => {
  const notes = new Notes();
  const transport = { path: line.a, baud: 115_200 };
  const driver = driverOf({ transport, framing: SCALE.framing, timeout: "5s" }, notes);
  const scale = deviceOf("scale", { ...SCALE.device, ask: "SI\r\n" }, SCALE.tags);
  await driver.connect(live());
  const answer = "S S     12.345 kg\r\n";
  for (let at = 0; at < answer.length; at++) {
    const beforeBytes = notes.of("bytes");
    far.onData = (text) => {
      if (!text.endsWith("\n")) return;
      void far
        .say(answer.slice(0, at))
        .then(() => until(() => notes.of("bytes") === beforeBytes + at))
        .then(() => far.say(answer.slice(at)));
    };
    expect(await readAll(driver, scale)).toEqual({ weight: 12.345, stable: true });
  }
  await driver.close();
});
