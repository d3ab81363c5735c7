import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { modbusLearnt, readContent } from "../../../drivers/modbus/learn/content.ts";
import { ReplyTime } from "../../../drivers/modbus/learn/reply-time.ts";
import { modbusModule } from "../../../drivers/modbus/module.ts";
import type { TagTexts } from "./bench.ts";
import { ModelPoll } from "./model-unit.ts";

const HOUR_MS = 3_600_000;

function words(...at: number[]): TagTexts {
  return Object.fromEntries(at.map((address) => [`t${address}`, { address: `holding:${address}`, type: "uint16" }]));
}
const row = (from: number, to: number, step = 1) =>
  Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => from + index * step);

describe("a hole between tags", () => {
  it("costs no value: the refused block is read in parts in the same scan, and the hole is remembered", () => {
    const poll = new ModelPoll(words(0, 5, 10, 15));
    poll.unit.missing = new Set([12]);
    expect(poll.scan()).toEqual({ bad: {}, requests: 5 });
    expect(poll.plan()).toEqual(["holding 0..10 (11 registers)", "holding 15 (1 register)"]);
    expect(poll.scan()).toEqual({ bad: {}, requests: 2 });
    expect(modbusLearnt.describe(poll.saved)).toContain("holding:11..14 cannot be read");
  });

  it("is remembered after a restart, and not by another device", () => {
    const poll = new ModelPoll(words(0, 5, 10));
    poll.unit.missing = new Set([7]);
    poll.scan();
    poll.restart();
    expect(poll.scan()).toEqual({ bad: {}, requests: 2 });
    poll.saved = undefined;
    poll.restart();
    expect(poll.scan().requests).toBeGreaterThan(2);
  });

  it("is forgotten when asked to", () => {
    const poll = new ModelPoll(words(0, 5));
    poll.unit.missing = new Set([3]);
    poll.scan();
    expect(poll.plan()).toHaveLength(2);
    poll.learner.forget();
    expect(poll.plan()).toHaveLength(1);
  });

  it("is not looked for where the device is not to learn by itself", () => {
    const poll = new ModelPoll(words(0, 5, 10), { holes: ["holding:7", "holding:10|"] });
    poll.unit.missing = new Set([7]);
    expect(poll.plan()).toEqual(["holding 0..5 (6 registers)", "holding 10 (1 register)"]);
    expect(poll.scan()).toEqual({ bad: {}, requests: 2 });
  });
});

describe("a border that no read may cross", () => {
  it("is found between neighbours where as many have been read elsewhere", () => {
    const poll = new ModelPoll(words(...row(0, 30), ...row(100, 110), ...row(140, 150)));
    poll.unit.borders = [105];
    poll.settle();
    expect(poll.plan()).toContain("holding 100..104 (5 registers)");
    expect(poll.scan().bad).toEqual({});
  });
});

describe("a limit of length", () => {
  it.each([60, 61, 10, 100, 124, 3])("of %i registers costs as many requests as if it had been configured", (most) => {
    const poll = new ModelPoll(words(...row(0, 250)));
    poll.unit.most = most;
    for (let scan = 0; scan < 40; scan++) poll.scan();
    expect(poll.scan()).toEqual({ bad: {}, requests: Math.ceil(250 / most) });
    poll.restart();
    expect(poll.scan()).toEqual({ bad: {}, requests: Math.ceil(250 / most) });
  });

  it("is found where the unit calls it an illegal address", () => {
    const poll = new ModelPoll(words(...row(0, 250)));
    [poll.unit.most, poll.unit.tooLong] = [50, 2];
    poll.settle();
    for (let scan = 0; scan < 40; scan++) poll.scan();
    const { bad, requests } = poll.scan();
    expect(bad).toEqual({});
    expect(requests).toBeLessThanOrEqual(8);
  });

  it("is found where the unit does not answer at all to long reads, and never blamed on a unit that is away", () => {
    const poll = new ModelPoll(words(...row(0, 125), 400));
    [poll.unit.most, poll.unit.tooLong] = [40, "silent"];
    for (let scan = 0; scan < 12; scan++) poll.scan();
    expect(poll.scan().bad).toEqual({});
    expect(poll.learner.most(false)).toBe(31);
    const away = new ModelPoll(words(...row(0, 125), 400));
    away.scan();
    for (let round = 0; round < 10; round++) {
      away.unit.isAway = round % 2 === 0;
      away.scan();
    }
    expect(away.learner.most(false)).toBeUndefined();
  });
});

describe("a tag that is refused", () => {
  it("is left out with its reason, and its neighbours are good", () => {
    const poll = new ModelPoll(words(...row(0, 40)));
    poll.unit.missing = new Set([17]);
    for (let scan = 0; scan < 6; scan++) poll.scan();
    poll.unit.asked.length = 0;
    expect(poll.scan()).toEqual({ bad: { t17: "left out" }, requests: 2 });
    expect(poll.unit.asked).toEqual(["0+17", "18+22"]);
    expect(modbusLearnt.describe(poll.saved).join()).toMatch(/holding:17 is left out: illegal data address/);
  });

  it("is tried once an hour, and comes back by itself", () => {
    const poll = new ModelPoll(words(...row(0, 10)));
    poll.unit.missing = new Set([4]);
    for (let scan = 0; scan < 10; scan++) poll.scan();
    poll.unit.asked.length = 0;
    for (let minute = 0; minute < 180; minute++) {
      poll.nowMs += 60_000;
      poll.scan();
    }
    expect(poll.unit.asked.filter((asked) => asked === "4+1").length).toBe(3);
    poll.unit.missing.clear();
    poll.nowMs += HOUR_MS;
    poll.scan();
    expect(poll.scan()).toEqual({ bad: {}, requests: 1 });
    expect(readContent(poll.saved)?.refused).toEqual([]);
  });

  it("is tried when the link is new, and when the unit was away", () => {
    for (const news of ["link", "unit"]) {
      const poll = new ModelPoll(words(...row(0, 10)));
      poll.unit.missing = new Set([4]);
      for (let scan = 0; scan < 10; scan++) poll.scan();
      poll.unit.missing.clear();
      if (news === "link") poll.learner.reconnected();
      else {
        poll.unit.isAway = true;
        poll.scan();
        poll.unit.isAway = false;
        poll.scan();
      }
      poll.scan();
      expect(poll.scan()).toEqual({ bad: {}, requests: 1 });
    }
  });

  it("brings its whole group back, when a unit refused everything for a while", () => {
    const poll = new ModelPoll(words(...row(0, 100)));
    poll.scan();
    poll.unit.missing = new Set(row(0, 100));
    let most = 0;
    for (let scan = 0; scan < 120; scan++) most = Math.max(most, poll.scan().requests);
    expect(Object.keys(poll.scan().bad)).toHaveLength(100);
    expect(most).toBeLessThanOrEqual(2 * 8 + 100);
    poll.unit.missing.clear();
    const { scans } = poll.settle();
    expect(scans).toBeLessThanOrEqual(20);
    poll.scan();
    expect(poll.scan().requests).toBe(1);
  });

  it("is not left out for one refusal", () => {
    const poll = new ModelPoll(words(0));
    poll.unit.missing = new Set([0]);
    poll.scan();
    poll.unit.missing.clear();
    expect(poll.scan()).toEqual({ bad: {}, requests: 1 });
  });
});

it("whatever the map refuses, every readable tag is good in the end, few requests are spent, and a restart remembers", () => {
  const maps = fc.record({
    at: fc.uniqueArray(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 60 }),
    missing: fc.uniqueArray(fc.integer({ min: 0, max: 300 }), { maxLength: 12 }),
    borders: fc.uniqueArray(fc.integer({ min: 1, max: 300 }), { maxLength: 3 }),
    most: fc.constantFrom(125, 125, 64, 20),
    tooLong: fc.constantFrom<2 | 3>(2, 3),
  });
  fc.assert(
    fc.property(maps, ({ at, missing, borders, most, tooLong }) => {
      const poll = new ModelPoll(words(...at));
      poll.unit.missing = new Set(missing);
      Object.assign(poll.unit, { borders, most, tooLong });
      let busiest = 0;
      let before = poll.plan().length;
      for (let scan = 0; scan < 120; scan++) {
        const { requests } = poll.scan();
        busiest = Math.max(busiest, requests - before);
        before = poll.plan().length;
      }
      const refused = at.filter((address) => missing.includes(address)).map((address) => `t${address}`);
      expect(Object.keys(poll.scan().bad).sort()).toEqual(refused.sort());
      // Learning adds at most 8 to a scan.
      expect(busiest).toBeLessThanOrEqual(8);
      poll.restart();
      poll.scan();
      for (let scan = 0; scan < 10; scan++) poll.scan();
      expect(Object.keys(poll.scan().bad).sort()).toEqual(refused.sort());
    }),
    { numRuns: 60 },
  );
});

describe("the time to answer", () => {
  it("shortens the timeout only when it is known, and never below 500 ms nor above what is configured", () => {
    const time = new ReplyTime(undefined);
    for (let n = 0; n < 15; n++) time.answered(10);
    expect(time.timeoutMs(1000)).toBe(1000);
    time.answered(10);
    expect(time.timeoutMs(1000)).toBe(500);
    expect(time.timeoutMs(50)).toBe(50);
    for (let n = 0; n < 50; n++) time.answered(700);
    expect(time.timeoutMs(1000)).toBe(1000);
  });

  it("gives all the time there is after a silence, so that a unit that became slow is not lost", () => {
    const time = new ReplyTime(undefined);
    for (let n = 0; n < 100; n++) time.answered(5);
    time.silent();
    expect(time.timeoutMs(1000)).toBe(1000);
    time.answered(600);
    expect(time.timeoutMs(1000)).toBe(1000);
    for (let n = 0; n < 400; n++) time.answered(5);
    expect(time.timeoutMs(1000)).toBe(500);
  });

  it("almost never gives up on a moody unit", () => {
    // One answer in ten takes 300 ms, the others 20 to 40.
    const time = new ReplyTime(undefined);
    let seed = 7;
    let early = 0;
    for (let n = 0; n < 20_000; n++) {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      const fraction = seed / 2 ** 31;
      const tookMs = fraction < 0.1 ? 300 : 20 + fraction * 20;
      if (tookMs > time.timeoutMs(1000)) early++;
      time.answered(tookMs);
    }
    expect(early).toBeLessThanOrEqual(2);
  });
});

describe("an exported profile", () => {
  it("fits into the configuration, and makes the plan that was learnt", () => {
    const poll = new ModelPoll(words(...row(0, 90), 100, 110));
    poll.unit.missing = new Set([105]);
    poll.unit.most = 40;
    for (let scan = 0; scan < 30; scan++) poll.scan();
    const profile = modbusLearnt.profile(poll.saved);
    expect(profile).toMatchObject({ holes: ["holding:101..109"] });
    expect(profile["maxRegisters"]).toBeLessThanOrEqual(40);
    expect(modbusModule.deviceSchema.safeParse({ unit: 1, ...profile }).success).toBe(true);
    const fresh = new ModelPoll(words(...row(0, 90), 100, 110), profile);
    fresh.unit.missing = poll.unit.missing;
    fresh.unit.most = poll.unit.most;
    expect(fresh.scan()).toEqual(poll.scan());
  });

  it("of something that is none is empty", () => {
    for (const content of [undefined, null, 7, {}, { version: 2 }, { version: 1, holes: [{ area: "x" }] }]) {
      expect(modbusLearnt.profile(content)).toEqual({});
      expect(modbusLearnt.describe(content)).toEqual([]);
    }
  });
});
