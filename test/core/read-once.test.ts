import { describe, expect, it } from "vitest";
import type { Request, Tag } from "../../gateway/core/driver.ts";
import { readOnce } from "../../gateway/core/read-once.ts";
import type { Sample } from "../../gateway/core/sample.ts";
import { tag } from "../southbound/setup.ts";

const REASON = "illegal data address";
const tags = ["a", "b", "c"].map((name) => tag(name, 1000));

/** A device that refuses whatever holds one of `refused`; the first `unasked` tags are in no request. */
function reading(refused: readonly string[], asked: string[][], unasked = 0) {
  const request = (some: readonly Tag[]): Request => ({
    device: { name: "d", link: "l", topic: "d", tags, options: {} },
    tags: some,
    label: some.map(({ name }) => name).join(),
    wireMs: 0,
  });
  return {
    plan: (some: readonly Tag[]) => [request(some.slice(unasked))],
    read({ tags: some }: Request): Promise<Sample[]> {
      asked.push(some.map(({ name }) => name));
      const bad = some.some(({ name }) => refused.includes(name));
      const samples = some.map(
        ({ name }): Sample =>
          bad
            ? { tag: name, monoMs: 1, quality: "bad", reason: REASON }
            : { tag: name, monoMs: 1, quality: "good", value: 1 },
      );
      return Promise.resolve(samples);
    },
    monoMs: () => 1,
  };
}

describe("reading once", () => {
  it("asks for each tag alone where all are refused together, and only for the one that is to blame says so", async () => {
    const asked: string[][] = [];
    const samples = await readOnce(tags, reading(["b"], asked));
    expect(asked).toEqual([["a", "b", "c"], ["a"], ["b"], ["c"]]);
    expect(samples.map(({ tag: name, quality, reason }) => [name, quality, reason])).toEqual([
      ["a", "good", undefined],
      ["b", "bad", REASON],
      ["c", "good", undefined],
    ]);
  });

  it("asks once where all is well, and says of a tag in no request that it cannot be read", async () => {
    const asked: string[][] = [];
    const samples = await readOnce(tags, reading([], asked, 1));
    expect(asked).toEqual([["b", "c"]]);
    expect(samples[0]).toMatchObject({ tag: "a", quality: "bad", reason: "cannot be read on demand" });
  });
});
