import { describe, expect, it } from "vitest";
import { hint } from "../../gateway/config/suggest.ts";
import { overlap } from "../../gateway/config/topics.ts";
import { parseYaml } from "../../gateway/config/yaml.ts";

describe("did you mean", () => {
  const keys = ["address", "type", "order", "every", "unit", "maxBytes", "baud"];
  it.each([
    ["adress", "address"],
    ["max_bytes", "maxBytes"],
    ["MaxBytes", "maxBytes"],
    ["baudrate", "baud"],
    ["interval", "every"],
    ["slave", "unit"],
    ["tpye", "type"],
  ])("%s: %s", (word, meant) => expect(hint(word, keys)).toBe(`; did you mean "${meant}"?`));

  it("lists the words when none is close", () => {
    expect(hint("colour", ["a", "b"])).toBe("; allowed here: a, b");
  });
});

describe("filters overlap", () => {
  it.each([
    ["plant/#", "plant/a/b", true],
    ["plant/#", "plant", true],
    ["+/scan", "plant/+", true],
    ["plant/+", "plant/a/b", false],
    ["a/b", "a/c", false],
    ["#", "x", true],
  ])("%s and %s: %s", (a, b, expected) => {
    expect(overlap(a, b)).toBe(expected);
    expect(overlap(b, a)).toBe(expected);
  });
});

describe("syntax errors", () => {
  it.each([
    ["a: @x\n", 1, 4, "quotes"],
    ['a: "\\q"\n', 1, 5, "escape"],
    ["a: 1\nb\n", 2, 1, '":"'],
    ["a:\n  - b\n c\n", 3, 1, "indent"],
    ["a: [1, 2\n", 2, 1, "bracket"],
    ["- a\nb: 1\n", 2, 1, "does not belong here"],
  ])("%j", (text, line, column, words) => {
    const { faults, value } = parseYaml(text);
    expect(value).toBeUndefined();
    expect(faults[0]?.position).toEqual({ line, column });
    expect(faults[0]?.message).toContain(words);
  });

  it("leave dates, octals and yes/no as YAML 1.2 has them", () => {
    expect(parseYaml("%YAML 1.1\n---\na: yes\nb: 010\nc: 2026-01-01\n").value).toEqual({
      a: "yes",
      b: 10,
      c: "2026-01-01",
    });
  });

  it("never throws, whatever the bytes are", () => {
    let state = 1;
    const alphabet = "a:- \n\t{}[]&*!|>'\"%@`#,?<0";
    for (let round = 0; round < 2000; round += 1) {
      let text = "";
      for (let i = 0; i < 40; i += 1) {
        state = (state * 1103515245 + 12345) % 2147483648;
        text += alphabet[Math.floor((state / 2147483648) * alphabet.length)];
      }
      const { faults, locate } = parseYaml(text);
      for (const { position } of faults) expect(position.line).toBeGreaterThan(0);
      expect(locate(["a", 0, "b"], "key").line).toBeGreaterThan(0);
    }
  });
});
