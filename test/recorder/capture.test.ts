import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { modbusModule } from "../../drivers/modbus/module.ts";
import { ConfigError } from "../../gateway/core/errors.ts";
import type { Capture } from "../../gateway/core/recording.ts";
import { scribeOf } from "../../gateway/recorder/packets.ts";
import { readRecording } from "../../gateway/recorder/read-recording.ts";
import { ENDS, fileOf, passedOf } from "./support.ts";

function captureOf(transport: object): Capture {
  const capture = modbusModule.recording?.capture(modbusModule.linkSchema.parse({ transport }), []);
  if (!capture) throw new Error("the driver has no recordings");
  return capture;
}
const TCP = captureOf({ type: "tcp", host: "192.0.2.10", port: 1502 });
const SESSION = passedOf(1, "open", "> 0001 0000 0006 01 03 0000 0001", "< 0001 0000 0005 01", "< 03 02 0007", "close");

/** RFC 1071: the sum over everything, checksum included, is all ones. */
function sumOf(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

describe("a capture file", () => {
  it("is read again as what passed", () => {
    const { packets, ...about } = readRecording(fileOf(TCP, SESSION));
    expect(about).toEqual({ driver: "modbus", link: "line", transport: "tcp", line: undefined });
    expect(packets.map(({ fromDevice, bytes }) => [fromDevice, bytes.toString("hex")])).toEqual([
      [false, "000100000006010300000001"],
      [true, "00010000000501"],
      [true, "03020007"],
    ]);
    expect(packets.map(({ atMs }) => atMs)).toEqual([10, 20, 30]);
  });

  it.each(["udp", "rtu-over-tcp"])("of %s too", (type) => {
    const capture = captureOf({ type, host: "::1", port: 4001 });
    const frames = passedOf(1, "> 01 03 0000 0001 840a", "< 01 03 02 0007 f986");
    const { packets, transport } = readRecording(fileOf(capture, frames));
    expect(transport).toBe(type);
    expect(packets.map(({ bytes }) => bytes.length)).toEqual([8, 7]);
  });

  it("of a serial line tells its settings", () => {
    const capture = captureOf({ type: "rtu", path: "/dev/ttyS1", baud: 9600, parity: "none" });
    expect(readRecording(fileOf(capture, passedOf(1, "> 01 03 0000 0001 840a"))).line).toBe("9600 8N2");
  });

  const six = { local: { address: "fe80::1%eth0", port: 40_000 }, remote: { address: "2001:db8::10", port: 502 } };
  const mapped = { local: { address: "::ffff:192.0.2.1", port: 40_000 }, remote: ENDS.remote };
  it.each([
    ["IPv4", ENDS, 20],
    ["IPv4 in IPv6's clothes", mapped, 20],
    ["IPv6", six, 40],
  ] as const)("has right checksums over %s, whatever the length", (_, ends, header) => {
    for (const layer of ["tcp", "udp"] as const) {
      for (const length of [1, 2, 3, 260, 1460]) {
        const [packet] = scribeOf(layer, ends, 502).data(Buffer.alloc(length, 0xa5), true);
        const ip = packet?.bytes.subarray(14) ?? Buffer.alloc(0);
        if (header === 20) expect(sumOf(ip.subarray(0, 20))).toBe(0xffff);
        const addresses = header === 20 ? ip.subarray(12, 20) : ip.subarray(8, 40);
        const content = ip.subarray(header);
        expect(content.length).toBe(length + (layer === "tcp" ? 20 : 8));
        const rest = Buffer.from([0, layer === "tcp" ? 6 : 17, content.length >> 8, content.length & 255]);
        expect(sumOf(Buffer.concat([addresses, rest, content])), `${layer} ${length}`).toBe(0xffff);
      }
    }
  });

  it("gives long chunks as segments that add up", () => {
    const long = Array.from({ length: 5_000 }, (_, at) => (at & 255).toString(16).padStart(2, "0")).join("");
    const { packets } = readRecording(fileOf(TCP, passedOf(1, "open", `< ${long}`)));
    expect(packets.length).toBe(4);
    expect(Buffer.concat(packets.map(({ bytes }) => bytes)).toString("hex")).toBe(long);
  });

  it("of another program is told apart by the server's port", () => {
    const file = fileOf(TCP, SESSION);
    // The same packets, with a comment of somebody else.
    const foreign = Buffer.from(
      file.toString("latin1").replace("Millrace 1.2.3, flight", "Somebody 1.2.3, flight"),
      "latin1",
    );
    const recording = readRecording(foreign);
    expect(recording).toMatchObject({ driver: undefined, transport: "tcp" });
    expect(recording.packets.map(({ fromDevice }) => fromDevice)).toEqual([false, true, true]);
  });

  it("that is cut off, damaged or something else never does worse than a message", () => {
    const file = fileOf(TCP, SESSION);
    const quiet = (bytes: Buffer) => {
      try {
        readRecording(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigError);
      }
    };
    for (let length = 0; length <= file.length; length++) quiet(file.subarray(0, length));
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.nat(255), fc.nat(file.length - 1), fc.nat(255), (a, x, b, y) => {
        const damaged = Buffer.from(file);
        damaged[a] = x;
        damaged[b] = y;
        quiet(damaged);
      }),
      { numRuns: 2_000 },
    );
    expect(() => readRecording(Buffer.from("d4c3b2a1", "hex"))).toThrow("editcap -F pcapng");
    expect(() => readRecording(Buffer.from("no capture at all, but long enough"))).toThrow("no pcapng file");
  });
});
