import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Triggers } from "../../gateway/commands/triggers.ts";
import { NotConnectedError } from "../../gateway/core/errors.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import type { Recipe } from "../../gateway/core/recipe.ts";
import type { Sample, Value } from "../../gateway/core/sample.ts";
import { MemoryDevice, NOW, Plant } from "./support.ts";

let plant: Plant;
let press: MemoryDevice;
beforeEach(async () => {
  plant = await new Plant().open();
  press = new MemoryDevice("press", { speed: { min: 0, max: 300 }, order: {}, ready: {} }, ["done", "request"]);
});
afterEach(() => plant.close());

const RECIPE: Recipe = {
  name: "order",
  device: "press",
  values: [{ tag: "speed", value: 120 }],
  parameters: ["order"],
  ready: { tag: "ready", value: 1, reset: 0 },
  done: { tag: "done", value: 1 },
  withinMs: 5000,
};

/** The PLC answers when `ready` is set, as long as it listens. */
function answering(device: MemoryDevice): void {
  device.onWire = () => Promise.resolve();
  const write = device.write.bind(device);
  device.write = async (writes, signal) => {
    const results = await write(writes, signal);
    for (const { tag, value } of writes) if (tag.name === "ready") device.held.set("done", value);
    return results;
  };
}

async function run(body: object, recipe = RECIPE): Promise<Record<string, unknown>> {
  const commands = plant.commands([press], {}, [recipe]);
  await commands.start();
  const payload = Buffer.from(JSON.stringify({ id: "a", expires: NOW + 60_000, ...body }));
  await commands.take({ topic: "cmd/press/write", payload, retain: false, from: "client planner" });
  return await result();
}

async function result(): Promise<Record<string, unknown>> {
  await vi.waitFor(
    async () => {
      await plant.take();
      expect(plant.results).toHaveLength(1);
    },
    { timeout: 4000 },
  );
  return plant.results[0]?.body ?? {};
}
const order = { recipe: "order", values: { order: 7 } };

describe("a recipe", () => {
  it("writes its values, then those it is given, then ready, waits for done, and takes ready back", async () => {
    answering(press);
    expect(await run(order)).toEqual({
      id: "a",
      ok: true,
      recipe: "order",
      handshake: "done",
      values: {
        speed: { before: 0, after: 120 },
        order: { before: 0, after: 7 },
        ready: { before: 0, after: 1 },
      },
    });
    expect(press.written.map(({ tag, value }) => `${tag}=${value}`)).toEqual([
      ...["speed=120", "order=7", "ready=1", "ready=0"],
    ]);
  });

  it("says when the PLC did not answer in time, and takes ready back", async () => {
    const body = await run(order, { ...RECIPE, withinMs: 100 });
    expect(body).toMatchObject({ ok: false, handshake: "not done" });
    expect(body["error"]).toContain("the PLC did not set done to 1 within 100 ms (last: 0)");
    expect(press.held.get("ready")).toBe(0);
  });

  it("does not begin while the PLC still shows the end of the last one", async () => {
    press.held.set("done", true);
    const body = await run(order, { ...RECIPE, withinMs: 300 });
    expect(body).toMatchObject({ ok: false, error: expect.stringContaining("has not ended the last handshake") });
    expect(press.written).toEqual([]);
  });

  it("waits for the end of the last one", async () => {
    answering(press);
    press.held.set("done", 1);
    const read = press.read.bind(press);
    let looks = 0;
    press.read = (tags, signal) => {
      if (tags[0]?.name === "done" && ++looks === 2) press.held.set("done", 0);
      return read(tags, signal);
    };
    expect(await run(order)).toMatchObject({ ok: true, handshake: "done" });
  });

  it("does not say ready when a value was not written", async () => {
    const write = press.write.bind(press);
    press.write = async (writes, signal) =>
      (await write(writes, signal)).map((one) =>
        one.tag === "order" ? { ...one, ok: false, reason: "refused" } : one,
      );
    const body = await run(order);
    expect(body).toMatchObject({ ok: false, handshake: "not ready", values: { ready: { error: "not written" } } });
    expect(press.written.map(({ tag }) => tag)).toEqual(["speed", "order"]);
  });

  it("says so when ready cannot be set, and writes nothing twice", async () => {
    const write = press.write.bind(press);
    press.write = (writes, signal) =>
      writes[0]?.tag.name === "ready"
        ? Promise.reject(new NotConnectedError("the line is cut"))
        : write(writes, signal);
    const body = await run(order);
    expect(body).toMatchObject({ ok: false, handshake: "not ready" });
    expect(body["error"]).toContain("ready could not be set: the line is cut");
    expect(press.written.map(({ tag }) => tag)).toEqual(["speed", "order"]);
  });

  it.each([
    [{ recipe: "order" }, "recipe order needs order"],
    [{ recipe: "order", values: { order: 1, speed: 3 } }, "recipe order is not given speed; it is given order"],
    [{ recipe: "odrer", values: {} }, "the device has no recipe odrer; it has order"],
    [{ recipe: "order", writes: [{ tag: "order", value: 1 }] }, "a recipe has its own order"],
  ])("%j is refused", async (body, error) => {
    expect(await run(body)).toMatchObject({ ok: false, error: expect.stringContaining(error) });
    expect(press.written).toEqual([]);
  });

  it("keeps to the limits of its tags", async () => {
    const small = { ...RECIPE, values: [], parameters: ["speed"] };
    const body = await run({ recipe: "order", values: { speed: 301 } }, small);
    expect(body).toMatchObject({ ok: false, values: { speed: { error: "301 is above the greatest, 300" } } });
  });

  it("that was begun in an earlier life is read back, ready too, and not begun again", async () => {
    const commands = plant.commands([press], {}, [RECIPE]);
    await commands.start();
    // The PLC never answers; the process ends meanwhile.
    const payload = Buffer.from(JSON.stringify({ id: "a", expires: NOW + 60_000, ...order }));
    await commands.take({ topic: "cmd/press/write", payload, retain: false, from: "client planner" });
    await vi.waitFor(() => expect(press.held.get("ready")).toBe(1));
    plant.abandon();
    const next = plant.commands([press], {}, [RECIPE]);
    await next.start();
    expect(await result()).toMatchObject({
      unknown: true,
      error: "unknown whether it was written: the gateway stopped while it wrote; ready was reset",
      values: { speed: { readBack: 120 }, order: { readBack: 7 }, ready: { readBack: 1 } },
    });
    // Or the PLC would stay in that handshake, and no recipe could begin any more.
    expect(press.held.get("ready")).toBe(0);
    await commands.stop();
    expect(press.written.filter(({ tag }) => tag === "order")).toHaveLength(1);
  });
});

describe("a trigger", () => {
  const sample = (value: Value, quality: Sample["quality"] = "good"): Sample => ({
    ...{ tag: "request", quality, value, monoMs: 0 },
  });
  const begun = (atStart: boolean, samples: readonly Sample[], failures = 0) => {
    const recipe = { ...RECIPE, trigger: { tag: "request", value: 1, atStart } };
    let count = 0;
    let left = failures;
    const begin = () => {
      count++;
      return left-- > 0 ? Promise.reject(new Error("disk")) : Promise.resolve();
    };
    const triggers = new Triggers({ recipes: [recipe], begin, log: silentLogger });
    for (const one of samples) triggers.see("press", [one]);
    triggers.see("other", [sample(1)]);
    return { count: () => count, triggers };
  };

  it("begins once each time its tag comes to hold the value", () => {
    expect(
      begun(
        false,
        [0, 1, 1, true, 0, 1].map((value) => sample(value)),
      ).count(),
    ).toBe(2);
  });

  it("does not take a bad sample for a change", () => {
    expect(begun(false, [sample(0), sample(1), sample(0, "bad"), sample(1)]).count()).toBe(1);
  });

  it("begins at the start only where it is told to", () => {
    expect(begun(false, [sample(1)]).count()).toBe(0);
    expect(begun(true, [sample(1)]).count()).toBe(1);
  });

  it("begins at the next look what could not be remembered", async () => {
    const { count, triggers } = begun(true, [sample(1)], 1);
    await Promise.resolve();
    await vi.waitFor(() => {
      triggers.see("press", [sample(1)]);
      expect(count()).toBe(2);
    });
  });

  it("leaves a result like any other", async () => {
    answering(press);
    const recipe = { ...RECIPE, parameters: [], trigger: { tag: "request", value: 1, atStart: false } };
    const commands = plant.commands([press], {}, [recipe]);
    await commands.start();
    await commands.trigger(recipe);
    expect(await result()).toMatchObject({ ok: true, recipe: "order", handshake: "done" });
    expect(String(plant.results[0]?.body["id"])).toMatch(/^order\/boot\/\d+\/1$/);
  });
});
