import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compile, EvaluationError, resultType } from "../../gateway/core/expression/compile.ts";
import { ExpressionError } from "../../gateway/core/expression/error.ts";
import { namesIn, parseExpression } from "../../gateway/core/expression/parse.ts";
import type { Value } from "../../gateway/core/sample.ts";

function evaluate(text: string, tags: Readonly<Record<string, Value>> = {}): Value {
  const { names, run } = compile(parseExpression(text));
  return run(names.map((name) => tags[name] ?? Number.NaN));
}

function reason(text: string, tags: Readonly<Record<string, Value>> = {}): string {
  try {
    return `no error, ${String(evaluate(text, tags))}`;
  } catch (error) {
    if (error instanceof EvaluationError) return error.message;
    throw error;
  }
}

const BIG = 2n ** 60n + 1n;

describe("an expression", () => {
  it.each<[string, Value]>([
    ["1 + 2 * 3", 7],
    ["(1 + 2) * 3", 9],
    ["7 - 2 - 1", 4],
    ["-2 * -3", 6],
    ["0.1 + 0.2", 0.3],
    ["231 * 0.1", 23.1],
    ["1e3 / 8", 125],
    ["7 % 4", 3],
    ["0x1F", 31],
    ["1 < 2 && !(2 >= 3)", true],
    ["0.1 + 0.2 == 0.3", true],
    ["false ? 1 : true ? 2 : 3", 2],
    ["a * b / 1000", 1.5],
    ["{flow-rate} + {a}", 52],
    ["state == 'running' ? 'on' : \"off\"", "on"],
    ["big + 1", BIG + 1n],
    ["big - big", 0],
    ["big > 1.5", true],
    ["9007199254740993", 9_007_199_254_740_993n],
    ["4294967296 * 4294967295", 18_446_744_069_414_584_320n],
    ["round(2.345, 2)", 2.35],
    ["round(-1.5)", -2],
    ["min(3, a, 2) + max(1, big)", BIG + 2n],
    ["abs(-3) + floor(2.9) + ceil(2.1) + trunc(-2.9)", 6],
    ["sqrt(2) * sqrt(2)", 2],
    ["pow(2, 10)", 1024],
    ["bit(5, 2)", true],
    ["bits(0xF0, 4, 7)", 15],
    ["bits(-1, 0, 15)", 65_535],
    ["bits(-1, 0, 63)", 2n ** 64n - 1n],
  ])("%s is %s", (text, expected) => {
    const tags = { a: 30, b: 50, "flow-rate": 22, state: "running", big: BIG };
    expect(evaluate(text, tags)).toBe(expected);
  });

  it.each([
    ["1 / 0", "division by zero"],
    ["5 % zero", "division by zero"],
    ["sqrt(-1)", "the root of a negative number"],
    ["'a' + 'b'", "a number is needed, not text"],
    ["running * 2", "a number is needed, not true or false"],
    ["state && true", "true or false is needed, not text"],
    ["state == 1", "text is compared with a number"],
    ["bit(1.5, 0)", "bits of a number that is not whole"],
    ["bit(1, 64)", "no bits 64 to 64"],
    ["bytes + 1", "bytes cannot be calculated with"],
    ["exp(10000)", "too great"],
    ["1e300 * 1e300", "not a number"],
  ])("%s has no value: %s", (text, expected) => {
    const tags = { zero: 0, running: true, state: "x", bytes: Uint8Array.of(1) };
    expect(reason(text, tags)).toBe(expected);
  });

  it.each([
    ["", 0, "something is missing at the end"],
    ["a +", 3, "something is missing at the end"],
    ["a b", 2, '"b" does not belong here'],
    ["(a", 2, 'a ")" is missing'],
    ["a = 1", 2, '"=" is not understood; compare with "=="'],
    ["a & 1", 2, '"&" is not understood; use "&&", or bit(x, n) for a bit'],
    ["a ^ 2", 2, '"^" is not understood; use pow(x, y)'],
    ["'x", 0, '"\'" is not understood; the quote is not closed'],
    ["rond(1)", 0, 'unknown function "rond"'],
    ["1 + abs(1, 2)", 4, "abs takes 1 value, not 2"],
    ["a ? 1", 5, 'the ":" of "? :" is missing'],
    ["a.b[0]", 3, '"[" is not understood'],
    ["constructor(1)", 0, 'unknown function "constructor"'],
    ["a => a", 2, '"=" is not understood; compare with "=="'],
    [`${"(".repeat(60)}1`, 50, "nested too deeply"],
    ["`x`", 0, '"`" is not understood'],
  ])("%s is wrong at %i: %s", (text, at, message) => {
    let error: unknown;
    try {
      parseExpression(text);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(ExpressionError);
    expect(error).toMatchObject({ at, message });
  });

  it("reaches nothing but tags, whatever they are called", () => {
    const node = parseExpression("constructor + __proto__ + toString + {a b}");
    expect([...namesIn(node).keys()]).toEqual(["constructor", "__proto__", "toString", "a b"]);
    expect(compile(node).run([1, 2, 3, 4])).toBe(10);
  });

  it("knows the type of its result", () => {
    const types = ["a + 1", "a > 1", "!a", "a ? 'x' : 'y'", "bit(a, 1)", "'t'", "true"].map((text) =>
      resultType(parseExpression(text)),
    );
    expect(types).toEqual(["float64", "bool", "bool", "string", "bool", "string", "bool"]);
  });

  it("never fails in another way, whatever is written", () => {
    const words = [
      "a",
      "b",
      "1",
      "2.5",
      "'t'",
      "true",
      "(",
      ")",
      "+",
      "-",
      "*",
      "/",
      "%",
      "<",
      "==",
      "&&",
      "||",
      "!",
      "?",
      ":",
      ",",
      "min(",
      "bit(",
      "round(",
      "{",
      "}",
      "@",
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words), { maxLength: 12 }), (parts) => {
        try {
          evaluate(parts.join(" "), { a: 3, b: "x" });
        } catch (error) {
          if (!(error instanceof ExpressionError || error instanceof EvaluationError)) throw error;
        }
      }),
      { numRuns: 3000 },
    );
  });
});
