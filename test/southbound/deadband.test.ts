import { describe, expect, it } from "vitest";
import type { Sample, Value } from "../../gateway/core/sample.ts";
import { Deadband } from "../../gateway/southbound/deadband.ts";
import { device, setup, tag } from "./setup.ts";

const BIG = 2n ** 60n;
const bytes = (...values: number[]) => Uint8Array.from(values);

/** Values in a row, or a reason for `bad`, each with whether it is sent. */
type Step = readonly [value: Value | { bad: string }, sent: boolean];
const cases: readonly (readonly [name: string, deadband: number | undefined, steps: readonly Step[]])[] = [
  [
    "no deadband sends every scan",
    undefined,
    [
      [1, true],
      [1, true],
      [1, true],
    ],
  ],
  [
    "0 sends every change only",
    0,
    [
      [1, true],
      [1, false],
      [1.0001, true],
      [1.0001, false],
    ],
  ],
  [
    "a move by exactly the deadband is sent",
    0.5,
    [
      [1, true],
      [1.25, false],
      [1.5, true],
      [1.75, false],
      [1, true],
    ],
  ],
  [
    "slow drift is measured from what was sent",
    1,
    [
      [0, true],
      [0.4, false],
      [0.8, false],
      [1.2, true],
      [1.6, false],
    ],
  ],
  [
    "quality changes go through it",
    10,
    [
      [1, true],
      [{ bad: "timeout" }, true],
      [1, true],
      [2, false],
    ],
  ],
  [
    "the same reason is sent once",
    10,
    [
      [{ bad: "timeout" }, true],
      [{ bad: "timeout" }, false],
      [{ bad: "gone" }, true],
    ],
  ],
  [
    "bool: changes only",
    5,
    [
      [true, true],
      [true, false],
      [false, true],
      [false, false],
    ],
  ],
  [
    "text: changes only",
    5,
    [
      ["a", true],
      ["a", false],
      ["b", true],
    ],
  ],
  [
    "bytes: changes only",
    5,
    [
      [bytes(1, 2), true],
      [bytes(1, 2), false],
      [bytes(1, 3), true],
      [bytes(1), true],
    ],
  ],
  [
    "integers beyond 2^53 are exact",
    0,
    [
      [BIG, true],
      [BIG, false],
      [BIG + 1n, true],
    ],
  ],
  [
    "integers beyond 2^53 with a width",
    3,
    [
      [BIG, true],
      [BIG + 2n, false],
      [BIG + 3n, true],
    ],
  ],
  [
    "a number and a big integer compare by value",
    0,
    [
      [7, true],
      [7n, false],
      [8n, true],
      [8, false],
    ],
  ],
  [
    "another kind of value is a change",
    100,
    [
      [1, true],
      ["1", true],
      [true, true],
    ],
  ],
];

describe("deadband", () => {
  it.each(cases)("%s", (_name, width, steps) => {
    const deadband = new Deadband([tag("t", 1000, width === undefined ? {} : { deadband: width })]);
    const sent = steps.map(([value]) => deadband.due([sample(value)], 0).length === 1);
    expect(sent).toEqual(steps.map(([, expected]) => expected));
  });

  it("does not emit a scan with nothing left to send, and leaves out single tags", async () => {
    const tags = [tag("still", 1000, { deadband: 0 }), tag("moving", 1000, { deadband: 0 })];
    const { time, wire, link, scans } = setup([device("d", tags)]);
    let moving = 0;
    wire.value = (each) => (each.name === "moving" ? moving : 1);
    await link.start();
    await time.pass(5_100);
    expect(scans.map((scan) => scan.samples.map((each) => each.tag))).toEqual([["still", "moving"]]);
    moving = 1;
    await time.pass(1_000);
    expect(scans.map((scan) => scan.samples.map((each) => each.tag))).toEqual([["still", "moving"], ["moving"]]);
    expect(scans[1]?.tags.length).toBe(2);
    await link.stop();
  });

  it("sends the value again after the device was away, although it did not change", async () => {
    const { time, wire, link, good } = setup([device("d", [tag("still", 1000, { deadband: 5 })])]);
    await link.start();
    await time.pass(10_000);
    expect(good("d").length).toBe(1);
    wire.devices.set("d", "silent");
    await time.pass(10_000);
    wire.devices.set("d", "answer");
    await time.pass(10_000);
    expect(good("d").length).toBe(2);
    await link.stop();
  });
});

function sample(value: Value | { bad: string }): Sample {
  if (typeof value === "object" && "bad" in value) return { tag: "t", quality: "bad", reason: value.bad, monoMs: 0 };
  return { tag: "t", quality: "good", value, monoMs: 0 };
}
