import { appendFile, copyFile, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { UncertainWriteError } from "../../gateway/core/driver.ts";
import { NotConnectedError, RejectedError } from "../../gateway/core/errors.ts";
import { command, MemoryDevice, NOW, Plant } from "./support.ts";

let plant: Plant;
let press: MemoryDevice;
beforeEach(async () => {
  plant = await new Plant().open();
  press = new MemoryDevice("press", { speed: { min: 0, max: 300 }, force: {}, slow: { maxStep: 10 } }, ["counter"]);
});
afterEach(() => plant.close());

const from = "client hmi";
const topic = "cmd/press/write";
const ofId = (id: string) => plant.results.filter(({ body }) => body["id"] === id).map(({ body }) => body);

async function resultOf(id: string): Promise<Record<string, unknown>> {
  await vi.waitFor(
    async () => {
      await plant.take();
      expect(ofId(id)).toHaveLength(1);
    },
    { timeout: 5000 },
  );
  return ofId(id)[0] ?? {};
}

async function run(id: string, values: object, over: object = {}, retain = false) {
  const commands = plant.commands([press]);
  await commands.start();
  await commands.take({ topic, payload: command(id, values, over), retain, from });
  return await resultOf(id);
}

describe("a command", () => {
  it("is written, in its order, and answered with before and after, in the queue and to listeners", async () => {
    const body = await run("a", { speed: 40, force: 7 });
    expect(body).toEqual({
      id: "a",
      ok: true,
      values: { speed: { before: 0, after: 40 }, force: { before: 0, after: 7 } },
    });
    expect(press.written).toEqual([
      { tag: "speed", value: 40 },
      { tag: "force", value: 7 },
    ]);
    expect(plant.results[0]?.topic).toBe("cmd/press/result");
    await vi.waitFor(() => expect(plant.published).toEqual([{ topic: "cmd/press/result", body }]));
  });

  it("may give its writes as a list", async () => {
    const writes = [
      { tag: "force", value: 1 },
      { tag: "speed", value: 2 },
    ];
    const commands = plant.commands([press]);
    await commands.start();
    const payload = Buffer.from(JSON.stringify({ id: "l", expires: new Date(NOW + 1000).toISOString(), writes }));
    await commands.take({ topic, payload, retain: false, from });
    expect((await resultOf("l"))["ok"]).toBe(true);
    expect(press.written).toEqual(writes);
  });

  it("is carried out once, however often it comes, also after a restart", async () => {
    await run("once", { speed: 1 });
    const again = plant.commands([press]);
    await again.start();
    for (let n = 0; n < 3; n++)
      await again.take({ topic, payload: command("once", { speed: 2 }), retain: false, from });
    await again.stop();
    await plant.take();
    expect(press.written).toHaveLength(1);
    expect(ofId("once")).toHaveLength(1);
  });
});

describe("is refused, and nothing is written:", () => {
  it.each<[string, object, object, string]>([
    ["one that expired", { speed: 1 }, { expires: NOW }, "expired"],
    ["one in seconds or microseconds", { speed: 1 }, { expires: NOW * 1000 }, "is it in milliseconds?"],
    ["one without an expiry", { speed: 1 }, { expires: undefined }, "expires: is needed"],
    ["one without values", {}, {}, "writes nothing"],
    ["one with a key nobody knows", { speed: 1 }, { force: true }, "Unrecognized key"],
  ])("%s", async (_, values, over, error) => {
    expect(await run("r", values, over)).toMatchObject({ id: "r", ok: false, error: expect.stringContaining(error) });
    expect(press.written).toEqual([]);
  });

  it.each<[string, object, string, string]>([
    ["a value beyond the bounds", { force: 1, speed: 301 }, "speed", "301 is above the greatest, 300"],
    ["a text where a number is needed", { speed: "fast" }, "speed", "a number is needed, not fast"],
    ["a tag that is only read", { force: 1, counter: 1 }, "counter", "not writable"],
    ["a tag that is not there", { sped: 1 }, "sped", "did you mean speed?"],
    ["a step that is too great", { slow: 11, force: 1 }, "slow", "a step of 11 from 0; at most 10 at once"],
    ["a name that objects have", JSON.parse('{"__proto__":1,"force":1}'), "constructor", "no such tag"],
  ])("%s", async (what, values, tag, error) => {
    const over = what.includes("objects") ? { values: undefined, writes: [{ tag, value: 1 }] } : {};
    const body = await run("t", values, over);
    expect(body).toMatchObject({ ok: false, error: "nothing was written" });
    expect(body["values"]).toMatchObject({ [tag]: { error: expect.stringContaining(error) } });
    expect(press.written).toEqual([]);
  });

  it("a retained one", async () => {
    expect((await run("kept", { speed: 1 }, {}, true))["error"]).toContain("retained");
    expect(press.written).toEqual([]);
  });

  it("any, while the clock is not set", async () => {
    plant.clock.state = "unsynced";
    expect((await run("early", { speed: 1 }))["error"]).toContain("clock is not set");
  });

  it("one that comes too soon after another", async () => {
    press = new MemoryDevice("press", { speed: { everyMs: 60_000 } });
    const commands = plant.commands([press]);
    await commands.start();
    for (const id of ["1", "2"])
      await commands.take({ topic, payload: command(id, { speed: 5 }), retain: false, from });
    expect(await resultOf("1")).toMatchObject({ ok: true });
    expect(JSON.stringify(await resultOf("2"))).toContain("at most once in 60000 ms");
    expect(press.written).toHaveLength(1);
  });

  it("one for a device that is not there; what is no command has no answer", async () => {
    const commands = plant.commands([press]);
    await commands.start();
    await commands.take({ topic: "cmd/pres/write", payload: command("d", { a: 1 }), retain: false, from });
    expect((await resultOf("d"))["error"]).toBe("there is no device pres");
    for (const text of ["", "{", "[]", '{"id":7}', "null", '"x"', "{}"]) {
      await commands.take({ topic, payload: Buffer.from(text), retain: false, from });
    }
    await commands.take({ topic, payload: Buffer.from([0x7b, 0xff, 0x7d]), retain: false, from });
    await plant.take();
    expect(plant.results).toHaveLength(1);
  });

  it("a flood waits for its turn, and what is not answered is not acknowledged", async () => {
    const commands = plant.commands([press]);
    await commands.start();
    let acknowledged = 0;
    const all = Array.from({ length: 200 }, (_, n) =>
      commands.take({ topic, payload: command(`f${n}`, { nothing: 1 }), retain: false, from }).then(
        () => acknowledged++,
        () => {},
      ),
    );
    await vi.waitFor(() => expect(acknowledged).toBeGreaterThan(10));
    await commands.stop();
    await Promise.all(all);
    expect(acknowledged).toBeLessThan(100);
    // What the ledger has and nobody was told yet when it ended, the next life tells.
    await plant.commands([press]).start();
    await vi.waitFor(async () => {
      await plant.take();
      expect(plant.results).toHaveLength(acknowledged);
    });
  });
});

describe("a device that does not answer", () => {
  it("is waited for until the command expires", async () => {
    press.failures.push(new NotConnectedError("the link is down, the write was not sent"));
    expect(await run("w", { speed: 3 })).toMatchObject({ ok: true });
    expect(press.written).toHaveLength(1);
  });

  it("is told when it stays away", async () => {
    press.failures.push(...Array.from({ length: 50 }, () => new NotConnectedError("device press does not answer")));
    const body = await run("x", { speed: 3 }, { expires: NOW + 60 * 60_000 }).catch(() => undefined);
    expect(body).toBeUndefined();
    plant.clock.wallMs += 2 * 60 * 60_000;
    expect(await resultOf("x")).toMatchObject({ ok: false, error: "expired: device press does not answer" });
    expect(press.written).toEqual([]);
  }, 20_000);

  it("may refuse", async () => {
    press.failures.push(new RejectedError("this driver cannot write"));
    expect(await run("n", { speed: 3 })).toEqual({ id: "n", ok: false, error: "this driver cannot write" });
  });

  it("that may have done it is read back, and never asked again", async () => {
    press.failures.push(new UncertainWriteError("no answer"));
    press.held.set("speed", 3);
    expect(await run("u", { speed: 3 })).toMatchObject({
      ok: false,
      unknown: true,
      values: { speed: { readBack: 3 } },
    });
    expect(press.written).toEqual([]);
  });
});

describe("killed and started again", () => {
  it("carries out what was taken and not begun, and calls unknown what was begun", async () => {
    let reach = () => {};
    const onWire = new Promise<void>((resolve) => {
      reach = resolve;
    });
    press.onWire = () => {
      reach();
      return new Promise(() => {});
    };
    const first = plant.commands([press]);
    await first.start();
    await first.take({ topic, payload: command("begun", { speed: 1 }), retain: false, from });
    await first.take({ topic, payload: command("taken", { force: 2 }), retain: false, from });
    await onWire;
    // That life is gone without a word; what it wrote last was cut short.
    plant.abandon();
    press.onWire = () => Promise.resolve();
    const ledger = join(plant.dataDir, "state", "commands");
    await copyFile(ledger, `${ledger}.left`);
    await rename(`${ledger}.left`, ledger);
    await appendFile(ledger, '00000000 {"at":"do');
    press.held.set("speed", 9);
    const third = plant.commands([press]);
    await third.start();
    expect(await resultOf("begun")).toMatchObject({ ok: false, unknown: true, values: { speed: { readBack: 9 } } });
    expect(await resultOf("taken")).toMatchObject({ ok: true });
    expect(press.written).toEqual([{ tag: "force", value: 2 }]);
  });

  it("tells a result that was not told, and not one that was", async () => {
    await run("told", { speed: 1 });
    const path = join(plant.dataDir, "state", "commands");
    await vi.waitFor(async () => expect(await readFile(path, "utf8")).toContain('"at":"told"'));
    const lines = (await readFile(path, "utf8")).split("\n").filter((line) => !line.includes('"at":"told"'));
    await writeFile(path, lines.join("\n"));
    const second = plant.commands([press]);
    await second.start();
    await second.stop();
    expect(ofId("told")).toHaveLength(1);
    await writeFile(path, lines.join("\n"));
    plant.forgetful = true;
    const third = plant.commands([press]);
    await third.start();
    await vi.waitFor(() => expect(plant.published.filter(({ body }) => body["id"] === "told")).toHaveLength(2));
    expect(press.written).toHaveLength(1);
  });
});
