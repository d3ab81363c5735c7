import { describe, expect, it } from "vitest";
import { simulatedModule } from "../../../drivers/simulated/module.ts";
import { valueAt } from "../../../drivers/simulated/wave.ts";
import type { Clock } from "../../../gateway/core/clock.ts";
import type { Device, Tag } from "../../../gateway/core/driver.ts";
import { NotConnectedError } from "../../../gateway/core/errors.ts";
import { silentLogger } from "../../../gateway/core/log.ts";
import { noMetrics } from "../../../gateway/core/metrics.ts";
import { driverContract } from "../../contract/driver.ts";

const clock: Clock = {
  bootId: "test",
  now: () => ({ wallMs: 1_763_800_012_345, monoMs: performance.now(), clock: "synced" }),
};

function options(tag: object = {}) {
  return simulatedModule.tagSchema.parse(tag);
}
function tag(name: string, more: object = {}): Tag {
  return { name, everyMs: 1000, stream: "telemetry", type: "float64", options: options(more) };
}
function device(...tags: Tag[]): Device {
  return { name: "press", link: "plant", topic: "plant/press", tags, options: {} };
}
function create(link: object = {}) {
  const context = { link: "plant", clock, log: silentLogger, metrics: noMetrics };
  return simulatedModule.create(simulatedModule.linkSchema.parse(link), context);
}
/** Values of a wave over one period of 1000 ms, in steps of 10 ms. */
function values(more: object, seed = 1, steps = 100) {
  const settings = { type: "float64", wave: "sine", min: 0, max: 100, period: 1000, ...more } as const;
  return Array.from({ length: steps }, (_, n) => valueAt(settings, seed, "press/a", 1_763_800_000_000 + n * 10));
}

driverContract("simulated", () =>
  Promise.resolve({
    driver: create({ replyTime: "1ms" }),
    device: device(tag("a"), tag("b", { type: "bool", wave: "toggle" })),
    stop: () => Promise.resolve(),
  }),
);

describe("simulated values", () => {
  it("are the same for the same time and seed, and others for another seed or tag", () => {
    expect(values({})).toEqual(values({}));
    expect(values({})).not.toEqual(values({}, 2));
    const settings = { type: "float64", wave: "sine", min: 0, max: 100, period: 1000 } as const;
    expect(valueAt(settings, 1, "press/a", 5)).not.toBe(valueAt(settings, 1, "press/b", 5));
  });

  it.each(["sine", "ramp", "random", "toggle"])("%s stays between min and max and moves", (wave) => {
    const all = values({ wave, min: -5, max: 5, period: wave === "random" ? 10 : 1000 }).map(Number);
    expect(Math.min(...all)).toBeGreaterThanOrEqual(-5);
    expect(Math.min(...all)).toBeLessThan(-4);
    expect(Math.max(...all)).toBeLessThanOrEqual(5);
    expect(Math.max(...all)).toBeGreaterThan(4);
  });

  it("a ramp rises evenly and falls back once a period", () => {
    const all = values({ wave: "ramp" }).map(Number);
    const falls = all.filter((value, n) => n > 0 && value < (all[n - 1] ?? value));
    expect(falls.length).toBe(1);
  });

  it("a count rises by one each period and begins again after max", () => {
    const all = values({ wave: "counter", type: "uint16", min: 3, max: 6, period: 10 }, 1, 9).map(Number);
    for (const [n, value] of all.entries()) {
      if (n > 0) expect(value).toBe(all[n - 1] === 6 ? 3 : (all[n - 1] ?? 0) + 1);
    }
  });

  it("on and off takes half a period each", () => {
    const all = values({ wave: "toggle", type: "bool" });
    expect(all.filter((value) => value === true).length).toBe(50);
  });

  it.each([
    ["bool", "boolean"],
    ["int32", "number"],
    ["float32", "number"],
    ["string", "string"],
  ])("%s gives a %s", (type, kind) => {
    expect(values({ type }).every((value) => typeof value === kind)).toBe(true);
  });

  it("whole numbers are whole, and exact beyond 2^53", () => {
    expect(values({ type: "uint16" }).every((value) => Number.isInteger(value))).toBe(true);
    expect(values({ type: "uint64", wave: "constant", min: 2 ** 60, max: 2 ** 60 }, 1, 1)).toEqual([2n ** 60n]);
    expect(values({ type: "float32" }).every((value) => value === Math.fround(Number(value)))).toBe(true);
  });
});

describe("simulated driver", () => {
  it("needs one request for a scan group, which takes the reply time", () => {
    const one = device(tag("a"), tag("b"));
    expect(create({ replyTime: "20ms" }).plan(one, one.tags, {})).toEqual([
      { device: one, tags: one.tags, label: "2 simulated values", wireMs: 20 },
    ]);
  });

  it("settles a read in flight when it is closed or aborted", async () => {
    const driver = create({ replyTime: "60s" });
    const one = device(tag("a"));
    const [request] = driver.plan(one, one.tags, {});
    if (!request) throw new Error("nothing planned");
    await driver.connect(new AbortController().signal);
    const controller = new AbortController();
    const reason = new Error("enough");
    const aborted = expect(driver.read(request, controller.signal)).rejects.toBe(reason);
    controller.abort(reason);
    await aborted;
    const closed = expect(driver.read(request, new AbortController().signal)).rejects.toBeInstanceOf(NotConnectedError);
    await driver.close();
    await closed;
  });

  it("names what a schema cannot see", () => {
    const link = {
      devices: [
        { tags: [{ name: "ok", ...options() }] },
        {
          tags: [
            { name: "a", ...options({ min: 5, max: 1 }) },
            { name: "c", ...options({ type: "uint16", max: 70_000 }) },
            { name: "b", ...options({ type: "int16", min: -40_000 }) },
          ],
        },
      ],
    };
    expect(simulatedModule.check(link)).toEqual([
      { path: ["devices", 1, "tags", 0, "max"], message: "max 1 is below min 5" },
      { path: ["devices", 1, "tags", 1, "max"], message: "max 70000 is no uint16: 0 to 65535" },
      { path: ["devices", 1, "tags", 2, "min"], message: "min -40000 is no int16: -32768 to 32767" },
    ]);
    expect(simulatedModule.check({ nonsense: true })).toEqual([]);
  });

  it("refuses unknown keys and says which type a tag has", () => {
    expect(simulatedModule.tagSchema.safeParse({ wav: "sine" }).success).toBe(false);
    expect(simulatedModule.linkSchema.safeParse({ host: "x" }).success).toBe(false);
    expect(simulatedModule.typeOf(options({ type: "int16" }))).toBe("int16");
  });
});
