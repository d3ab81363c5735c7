import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ChecksumType, checksumOf } from "../../../drivers/serial/framing/checksum.ts";
import { makeFramer } from "../../../drivers/serial/framing/make.ts";
import type { FramingOptions } from "../../../drivers/serial/options.ts";
import { framingOf } from "./bench.ts";

/** What a framer makes of pieces: telegrams as text, faults with their kind. */
function cut(options: FramingOptions, pieces: readonly Uint8Array[], silence = false): string[] {
  const seen: string[] = [];
  const framer = makeFramer(options, {
    telegram: (bytes) => void seen.push(bytes.toString("latin1")),
    fault: (kind, bytes) => void seen.push(`<${kind} ${bytes.toString("latin1")}>`),
  });
  for (const piece of pieces) framer.push(piece);
  if (silence) framer.silence();
  return seen;
}
const text = (latin1: string) => Buffer.from(latin1, "latin1");
const whole = (options: FramingOptions, latin1: string, silence = false) => cut(options, [text(latin1)], silence);

const CRLF = framingOf({ type: "delimiter", delimiter: "\r\n", maxBytes: 8 });
const BCC = framingOf({ type: "stx-etx", checksum: { type: "xor" }, maxBytes: 8 });
const PREFIX = framingOf({ type: "length-prefix", start: "\xaa", offset: 1, size: 2, maxBytes: 16 });

describe("delimiter", () => {
  it("ends telegrams, and takes empty ones for none", () => {
    expect(whole(CRLF, "one\r\n\r\ntwo\r\nthr")).toEqual(["one", "two"]);
    expect(whole(CRLF, "a\rb\nc\r\n")).toEqual(["a\rb\nc"]);
  });
  it("drops what has no end, counts it once, and goes on at the next one", () => {
    expect(whole(CRLF, "12345678\r\n")).toEqual(["12345678"]);
    expect(whole(CRLF, "123456789\r\nok\r\n")).toEqual(["<too-long 123456789\r>", "ok"]);
    expect(whole(CRLF, `${"x".repeat(5000)}\r\nok\r\n`)).toEqual(["<too-long xxxxxxxxxx>", "ok"]);
    expect(whole(CRLF, "x".repeat(11), true)).toEqual(["<too-long xxxxxxxxxx>"]);
  });
  it("takes one of several, and a CR LF as one even where CR alone is enough", () => {
    const any = framingOf({ type: "delimiter", delimiter: ["\r\n", "\r", "\n"] });
    expect(whole(any, "a\rb\nc\r\nd\n\re\r")).toEqual(["a", "b", "c", "d", "e"]);
    const long = framingOf({ type: "delimiter", delimiter: [";", ";END"] });
    expect(whole(long, "a;b;ENc;ENDd;")).toEqual(["a", "b", "ENc", "d"]);
  });
  it("checks the sum before it", () => {
    const summed = framingOf({ type: "delimiter", delimiter: "\r", checksum: { type: "sum8", encoding: "hex" } });
    expect(whole(summed, "AB83\rAB84\rX\r")).toEqual(["AB", "<checksum AB84>", "<checksum X>"]);
  });
  it("says that a telegram broke off", () => expect(whole(CRLF, "abc", true)).toEqual(["<unfinished abc>"]));
});

describe("fixed length", () => {
  const plain = framingOf({ type: "fixed", length: 4 });
  const marked = framingOf({ type: "fixed", length: 5, start: "=", end: "\r" });
  it("counts", () => expect(whole(plain, "abcdefghij", true)).toEqual(["abcd", "efgh", "<unfinished ij>"]));
  it("finds its way again by start and end", () => {
    expect(whole(marked, "=123\r=456\r")).toEqual(["=123\r", "=456\r"]);
    expect(whole(marked, "??=123\r=4=567\r")).toEqual(["<noise ??>", "=123\r", "<noise =4>", "=567\r"]);
  });
  it("finds its way again by its sum alone, and says so once", () => {
    const summed = framingOf({ type: "fixed", length: 3, checksum: { type: "xor" } });
    expect(whole(summed, "ab\x03zab\x03ab\x03")).toEqual(["ab", "<checksum zab>", "ab", "ab"]);
  });
});

describe("length prefix", () => {
  const frame = (body: string) => `\xaa\x00${String.fromCharCode(body.length)}${body}`;
  it("takes as many bytes as are said", () => {
    expect(whole(PREFIX, frame("abc") + frame("") + frame("\xaa\x00\x01"))).toEqual(["abc", "", "\xaa\x00\x01"]);
  });
  it("looks for the next start after a length that cannot be", () => {
    expect(whole(PREFIX, `\xaa\xff\xff..${frame("ok")}`)).toEqual(["<too-long \xaa\xff\xff>", "ok"]);
  });
  it.each([
    ["little, two bytes", { endian: "little" }, "\x03\x00abc"],
    ["one byte", { size: 1 }, "\x03abc"],
    ["four bytes", { size: 4 }, "\x00\x00\x00\x03abc"],
    ["the whole telegram counted", { size: 1, counts: "whole" }, "\x04abc"],
    ["after an address", { size: 1, offset: 2 }, "\x01\x02\x03abc"],
    ["a tail that is not counted", { size: 1, trailer: 2 }, "\x03abc\r\n"],
  ])("%s", (_name, more, bytes) => {
    expect(whole(framingOf({ type: "length-prefix", ...more }), bytes + bytes)).toEqual(["abc", "abc"]);
  });
  it("keeps the header when asked to, and never the sum", () => {
    const more = { size: 1, offset: 1, keepHeader: true, trailer: 2, checksum: { type: "crc16-modbus" } };
    const sum = checksumOf(text("\x07\x03abc"), { type: "crc16-modbus", encoding: "binary" }).toString("latin1");
    expect(whole(framingOf({ type: "length-prefix", ...more }), `\x07\x03abc${sum}`)).toEqual(["\x07\x03abc"]);
  });
});

describe("stx-etx", () => {
  const frame = (body: string) => {
    const sent = `${body}\x03`;
    return `\x02${sent}${checksumOf(text(sent), { type: "xor", encoding: "binary" }).toString("latin1")}`;
  };
  it("checks the BCC, and hears nothing between telegrams but noise", () => {
    expect(whole(BCC, `${frame("abc")}\r\n${frame("x")}`)).toEqual(["abc", "x"]);
    expect(whole(BCC, `zz${frame("abc")}`)).toEqual(["<noise zz>", "abc"]);
    expect(whole(BCC, `\x02abd\x03\x00${frame("x")}`)).toEqual(["<checksum abd\x00>", "x"]);
  });
  it("begins anew when an end was lost", () => {
    expect(whole(BCC, `\x02ab${frame("cd")}`)).toEqual(["<unfinished ab\x02>", "cd"]);
  });
  it("a BCC may be any byte, even STX or ETX", () => {
    for (let value = 32; value < 127; value++) {
      const body = String.fromCharCode(value, 97);
      expect(whole(BCC, frame(body) + frame("ok"))).toEqual([body, "ok"]);
    }
    expect(whole(BCC, frame("aa\x01") + frame("\x00\x00"))).toEqual(["aa\x01", "\x00\x00"]);
  });
  it("drops what has no end", () => {
    expect(whole(BCC, `${frame("12345678")}\x02123456789abc${frame("ok")}`)).toEqual([
      "12345678",
      "<too-long 123456789>",
      "<noise abc>",
      "ok",
    ]);
  });
  it("reads NMEA sentences", () => {
    const checksum = { type: "xor", encoding: "hex", covers: "body" };
    const nmea = framingOf({ type: "stx-etx", start: "$", end: "*", checksum });
    expect(whole(nmea, "$GPGLL,5057.970,N,00146.110,E,142451,A*27\r\n")).toEqual([
      "GPGLL,5057.970,N,00146.110,E,142451,A",
    ]);
  });
  it("undoes DLE, and sums what was sent", () => {
    const dle = { start: "\x10\x02", end: "\x10\x03", escape: "\x10", checksum: { type: "xor", covers: "body+end" } };
    const sum = (sent: string) => checksumOf(text(sent), { type: "xor", encoding: "binary" }).toString("latin1");
    const sent = "a\x10\x10b\x10\x03";
    expect(whole(framingOf({ type: "stx-etx", ...dle }), `\x10\x02${sent}${sum(sent)}`)).toEqual(["a\x10b"]);
    const single = framingOf({ type: "stx-etx", escape: "\x1b" });
    expect(whole(single, "\x02a\x1b\x03\x1b\x02\x1b\x1bb\x03")).toEqual(["a\x03\x02\x1bb"]);
  });
  it("finds a sum before the end", () => {
    const checksum = { type: "sum8", encoding: "hex", covers: "body", place: "before-end" };
    expect(whole(framingOf({ type: "stx-etx", checksum, maxBytes: 4 }), "\x02ABCD0A\x03\x02AB82\x03")).toEqual([
      "ABCD",
      "<checksum AB82>",
    ]);
  });
});

describe("idle gap", () => {
  const gap = framingOf({ type: "idle-gap", maxBytes: 4 });
  it("ends with the silence", () => expect(whole(gap, "abcd", true)).toEqual(["abcd"]));
  it("drops what is too long", () => expect(whole(gap, "abcde", true)).toEqual(["<too-long abcd>"]));
});

describe("checksums", () => {
  it.each<[ChecksumType, string]>([
    ["xor", "31"],
    ["sum8", "DD"],
    ["lrc", "23"],
    ["crc16-modbus", "374B"],
    ["crc16-arc", "3DBB"],
    ["crc16-kermit", "8921"],
    ["crc16-ccitt", "29B1"],
    ["crc16-xmodem", "31C3"],
  ])("%s of 123456789 is the catalogue's", (type, expected) => {
    expect(checksumOf(text("123456789"), { type, encoding: "hex" }).toString()).toBe(expected);
  });
  it("the order of a CRC's bytes can be turned round", () => {
    expect(checksumOf(text("123456789"), { type: "crc16-modbus", encoding: "binary", endian: "big" })).toEqual(
      Buffer.from("4b37", "hex"),
    );
  });
});

/** Every framing there is, with and without what helps to find the way again. */
const ALL: readonly FramingOptions[] = [
  CRLF,
  BCC,
  PREFIX,
  framingOf({ type: "delimiter", delimiter: ["\r\n", "\r", "\n\n\r"], maxBytes: 5 }),
  framingOf({ type: "delimiter", delimiter: "\r", checksum: { type: "xor" }, maxBytes: 5 }),
  framingOf({ type: "fixed", length: 3 }),
  framingOf({ type: "fixed", length: 4, start: "\x02\xaa", end: "\r" }),
  framingOf({ type: "fixed", length: 4, checksum: { type: "xor" } }),
  framingOf({ type: "length-prefix", size: 1, maxBytes: 6 }),
  framingOf({
    type: "length-prefix",
    size: 1,
    start: "\x02",
    offset: 1,
    counts: "whole",
    maxBytes: 9,
    checksum: { type: "xor" },
  }),
  framingOf({ type: "stx-etx", maxBytes: 4 }),
  framingOf({
    type: "stx-etx",
    start: "\x10\x02",
    end: "\x10\x03",
    escape: "\x10",
    checksum: { type: "xor" },
    maxBytes: 4,
  }),
  framingOf({ type: "stx-etx", checksum: { type: "xor", place: "before-end" }, maxBytes: 4 }),
  framingOf({ type: "idle-gap", maxBytes: 6 }),
];

describe("what comes out depends on the bytes, not on the pieces", () => {
  // Few different bytes, so that starts, ends, lengths and sums meet in every way.
  const byte = fc.constantFrom(0x00, 0x01, 0x02, 0x03, 0x0a, 0x0d, 0x10, 0x31, 0xaa);
  const stream = fc.array(byte, { maxLength: 60 });

  it.each(ALL.map((options, n) => [`${options.type} ${n}`, options] as const))("%s", (_name, options) => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(60), { maxLength: 8 }), (bytes, cuts) => {
        const all = Buffer.from(bytes);
        const places = [...new Set([0, ...cuts.filter((at) => at < all.length), all.length])].sort((a, b) => a - b);
        const pieces = places.slice(1).map((at, n) => all.subarray(places[n], at));
        const expected = cut(options, [all], true);
        expect(cut(options, pieces, true)).toEqual(expected);
        expect(
          cut(
            options,
            [...all].map((one) => Buffer.from([one])),
            true,
          ),
        ).toEqual(expected);
      }),
      { numRuns: 250 },
    );
  });

  it("good telegrams come through whatever garbage without a start stands between them", () => {
    const body = fc.string({ minLength: 1, maxLength: 8, unit: fc.constantFrom("a", "1", " ", ".") });
    const garbage = fc.string({ maxLength: 6, unit: fc.constantFrom("?", "\xff", "\x00", "9") });
    fc.assert(
      fc.property(fc.array(fc.tuple(garbage, body), { maxLength: 6 }), (parts) => {
        const frames = parts.map(
          ([noise, each]) =>
            `${noise}\x02${each}\x03${checksumOf(text(`${each}\x03`), { type: "xor", encoding: "binary" }).toString("latin1")}`,
        );
        const telegrams = whole(BCC, frames.join("")).filter((each) => !each.startsWith("<"));
        expect(telegrams).toEqual(parts.map(([, each]) => each));
      }),
      { numRuns: 300 },
    );
  });
});
