import { describe, expect, it } from "vitest";
import { serialModule } from "../../../drivers/serial/module.ts";
import { readLink } from "../../../drivers/serial/options.ts";
import { GuardedPattern, patternFault } from "../../../drivers/serial/parse/pattern.ts";
import { Talker } from "../../../drivers/serial/parse/talker.ts";
import { deviceOf, valuesOf } from "./bench.ts";

type Keys = Readonly<Record<string, unknown>>;

const LINK = readLink(serialModule.linkSchema.parse({ transport: { path: "x" }, framing: { type: "delimiter" } }));

/** Values of the tags in a telegram, or why there are none. */
function read(parse: Keys, tags: Readonly<Record<string, Keys>>, telegram: string | Buffer): unknown {
  const device = deviceOf("d", { parse }, tags);
  const talker = new Talker(device, LINK);
  const bytes = typeof telegram === "string" ? Buffer.from(telegram, "latin1") : telegram;
  const parsed = talker.parser.parse(bytes);
  return "reason" in parsed ? parsed.reason : valuesOf(talker.samples(device.tags, parsed.fields, 0));
}
/** The value of a tag that is the whole telegram. */
function one(tag: Keys, telegram: string | Buffer, encoding = "ascii"): unknown {
  const values = read({ encoding }, { v: tag }, telegram);
  return typeof values === "object" && values !== null && "v" in values ? values.v : values;
}

describe("fields", () => {
  it("come from named groups; one that took no part leaves its tag bad", () => {
    const parse = { pattern: "^S (?<status>[SI])( +(?<weight>[0-9.]+) kg)?$" };
    const tags = { weight: { type: "float64" }, status: { type: "string" } };
    expect(read(parse, tags, "S S   1.5 kg")).toEqual({ weight: 1.5, status: "S" });
    expect(read(parse, tags, "S I")).toEqual({ weight: "[no weight in the telegram]", status: "I" });
    expect(read(parse, tags, "ES")).toBe("the pattern does not match");
  });
  it("come from columns, counted from 1", () => {
    const parse = { columns: { status: 1, weight: "3-10" } };
    const tags = { weight: { type: "float64", decimal: "comma" }, status: { type: "bool", trueIs: ["S"] } };
    expect(read(parse, tags, "S   12,50 kg")).toEqual({ weight: 12.5, status: true });
    expect(read(parse, tags, "U -  0,50 kg")).toEqual({ weight: -0.5, status: false });
    expect(read(parse, tags, "S")).toBe("shorter than 3 columns");
  });
  it("come from JSON, by their path, and never from a prototype", () => {
    const tags = {
      code: { type: "string", field: "items.1.code" },
      ok: { type: "bool" },
      t: { type: "float64" },
      n: { type: "int64" },
      bad: { type: "string", field: "items.constructor.name" },
    };
    const telegram = '{"items":[{},{"code":"A"}],"ok":true,"t":2.5,"n":"9007199254740993"}';
    expect(read({ json: true }, tags, telegram)).toEqual({
      code: "A",
      ok: true,
      t: 2.5,
      n: 9007199254740993n,
      bad: "[no items.constructor.name in the telegram]",
    });
    expect(read({ json: true }, tags, '{"a":')).toBe("not JSON");
    expect(read({ json: true }, { n: { type: "int64" } }, '{"n":1e300}')).toEqual({
      n: "[not a whole number, or too great to be exact]",
    });
  });
});

describe("values", () => {
  it.each<[Keys, string, unknown]>([
    [{ type: "float64" }, " +12.50 ", 12.5],
    [{ type: "float64" }, "-  .5", -0.5],
    [{ type: "float64" }, "1e3", 1000],
    [{ type: "float64" }, "1e999", "[not a number]"],
    [{ type: "float64" }, "", "[not a number]"],
    [{ type: "float64" }, "12,5", "[not a number]"],
    [{ type: "float64" }, "0x10", "[not a number]"],
    [{ type: "float64", decimal: "comma" }, "12,5", 12.5],
    [{ type: "float64", decimal: "comma" }, "1.012,5", "[not a number]"],
    [{ type: "int64" }, "007", 7],
    [{ type: "int64" }, "9007199254740993", 9007199254740993n],
    [{ type: "int64" }, "18446744073709551616", "[more than 64 bits]"],
    [{ type: "int64" }, "1.5", "[not a whole number]"],
    [{ type: "int64", radix: 16 }, "0xFF", 255],
    [{ type: "int64", radix: 16 }, "FFFFFFFFFFFFFFFF", 18446744073709551615n],
    [{ type: "bool" }, "ON", true],
    [{ type: "bool" }, "maybe", "[neither true nor false]"],
    [{ type: "bool", trueIs: ["S"] }, "s", false],
    [{ type: "bool", falseIs: ["U"] }, "S", true],
    [{ type: "bool", trueIs: ["S"], falseIs: ["U"] }, "?", "[neither true nor false]"],
    [{ type: "string" }, "  a b ", "a b"],
    [{ type: "string", trim: false }, " a ", " a "],
  ])("%j of %j", (tag, telegram, expected) => expect(one(tag, telegram)).toEqual(expected));

  it("follow the unit that the device was set to", () => {
    const parse = { pattern: "^(?<w>[0-9.]+)(?<u>[a-z]*)$" };
    const tags = { w: { type: "float64", unitFrom: { field: "u", factors: { kg: 1, g: 0.001 } } } };
    expect(read(parse, tags, "12.5kg")).toEqual({ w: 12.5 });
    expect(read(parse, tags, "1250g")).toEqual({ w: 1.25 });
    expect(read(parse, tags, "12lb")).toEqual({ w: "[unknown unit]" });
  });
  it("follow the encoding", () => {
    expect(one({ type: "string" }, "gr\xfcn", "latin1")).toBe("grün");
    expect(one({ type: "string" }, "gr\xfcn")).toBe("not ascii");
    expect(one({ type: "string" }, Buffer.from("grün"), "utf8")).toBe("grün");
    expect(one({ type: "string" }, "gr\xfcn", "utf8")).toBe("not utf8");
    expect(one({ type: "int64", radix: 16 }, "\x01\xf4", "hex")).toBe(500);
    expect(one({ type: "bytes" }, "\x01\xf4", "hex")).toEqual(Buffer.from([1, 0xf4]));
    expect(one({ type: "bytes" }, "ab")).toEqual(Buffer.from("ab"));
  });
});

describe("a pattern that would try for ever", () => {
  const evil = "^(?<v>([0-9]+)+)kg$";
  it("is refused with an example, and others are not", () => {
    expect(patternFault(evil, 64)).toContain('a telegram such as "000000000000"');
    expect(patternFault("^(?<v>(a|a)*)$", 64)).toContain("avoid repetitions");
    for (const good of ["^S (?<status>[SD]) +(?<w>-?[0-9.]+) *(?<u>kg|g)$", "(?<v>[0-9]+)", "^(?<v>([0-9]+,)+)$"]) {
      expect(patternFault(good, 1024)).toBeUndefined();
    }
  });
  it("ends nevertheless, and is let alone for a while", () => {
    const pattern = new GuardedPattern(evil);
    const startMs = performance.now();
    expect(pattern.match(`${"1".repeat(60)}!`)).toBe("slow");
    for (let n = 0; n < 1000; n++) pattern.match(`${"1".repeat(60)}!`);
    // Without the guard: longer than anybody waits.
    expect(performance.now() - startMs).toBeLessThan(10_000);
    const fresh = new GuardedPattern(evil).match("12kg");
    expect(typeof fresh === "object" && fresh.fields.get("v")).toBe("12");
  });
  it("gives the same, watched or not", () => {
    const pattern = new GuardedPattern("^(?<a>[a-z]*)(?<b>[0-9]*)(?<c>[a-z]*)(?<d>-)?$");
    for (const text of ["abc12x", `${"a".repeat(300)}12${"x".repeat(300)}`]) {
      const found = pattern.match(text);
      expect(typeof found === "object" && [...found.fields.keys()]).toEqual(["a", "b", "c"]);
      expect(typeof found === "object" && found.fields.get("b")).toBe("12");
    }
  });
});
