import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { UncertainWriteError } from "../../gateway/core/driver.ts";
import { QueueFullError } from "../../gateway/core/errors.ts";
import { command, MemoryDevice, Plant } from "./support.ts";

let plant: Plant;
let press: MemoryDevice;
beforeEach(async () => {
  plant = await new Plant().open();
  press = new MemoryDevice("press", { speed: { min: 0, max: 300 } });
});
afterEach(() => plant.close());

const topic = "cmd/press/write";
const local = { topic, retain: false, from: "client hmi" };
const upstream = { ...local, from: "uplink cloud", uplink: "cloud" };
const resultOf = (body: object) => Buffer.from(JSON.stringify(body));

async function answered(count = 1): Promise<void> {
  await vi.waitFor(async () => {
    await plant.take();
    expect(plant.results).toHaveLength(count);
  });
}

describe("an answer goes", () => {
  it("to the response topic of a local client too, with its correlation data", async () => {
    const commands = plant.commands([press]);
    await commands.start();
    const correlation = Buffer.from([0, 1, 255]);
    await commands.take({ ...local, payload: command("a", { speed: 1 }), responseTopic: "hmi/answers", correlation });
    await vi.waitFor(() => expect(plant.published).toHaveLength(2));
    expect(plant.published[1]).toMatchObject({
      topic: "hmi/answers",
      correlation: correlation.toString("base64"),
      body: { id: "a", ok: true },
    });
  });

  it("where the body says, for those who have no properties, and gives the token back", async () => {
    const commands = plant.commands([press]);
    await commands.start();
    const payload = command("a", { speed: 1 }, { replyTo: "hmi/answers", correlation: "q-1" });
    await commands.take({ ...local, payload });
    await vi.waitFor(() => expect(plant.published).toHaveLength(2));
    expect(plant.published.map((one) => one.topic)).toEqual(["cmd/press/result", "hmi/answers"]);
    expect(plant.published.map(({ body }) => body["correlation"])).toEqual(["q-1", "q-1"]);
  });

  it("upstream to the uplink it came from alone, after a restart too", async () => {
    const commands = plant.commands([press]);
    await commands.start();
    const correlation = Buffer.from("q");
    await commands.take({ ...upstream, payload: command("a", { speed: 1 }), responseTopic: "planner/1", correlation });
    await answered();
    const body = resultOf(plant.results[0]?.body ?? {});
    expect(plant.published.map((one) => one.topic)).toEqual(["cmd/press/result"]);
    await commands.stop();
    const next = plant.commands([press]);
    // What waits is sent before commands are taken again.
    await next.load();
    expect(next.answerFor("cloud", "cmd/press/result", body)).toEqual({ topic: "planner/1", correlation });
    expect(next.answerFor("other", "cmd/press/result", body)).toBeUndefined();
    expect(next.answerFor("cloud", "plant/press", body)).toBeUndefined();
    expect(next.answerFor("cloud", "cmd/press/result", Buffer.from("no JSON"))).toBeUndefined();
  });

  it("to a refused command's sender as well", async () => {
    const commands = plant.commands([press]);
    await commands.start();
    await commands.take({ ...upstream, payload: command("a", { speed: 900 }), responseTopic: "planner/1" });
    await answered();
    expect(commands.answerFor("cloud", "cmd/press/result", resultOf({ id: "a" }))).toEqual({ topic: "planner/1" });
  });

  it.each(["a/#", "$SYS/x", ""])("nowhere else where nobody can publish to %j", async (responseTopic) => {
    const commands = plant.commands([press]);
    await commands.start();
    await commands.take({ ...local, payload: command("a", { speed: 1 }), responseTopic });
    await answered();
    await vi.waitFor(() => expect(plant.published).toHaveLength(1));
  });
});

it("takes nothing before it is started: a device would seem unknown", async () => {
  const commands = plant.commands([press]);
  await expect(commands.take({ ...upstream, payload: command("a", { speed: 1 }) })).rejects.toThrow("not taken yet");
  await commands.start();
  await commands.take({ ...upstream, payload: command("a", { speed: 1 }) });
  await answered();
  expect(plant.results[0]?.body["ok"]).toBe(true);
});

it("a copy that comes meanwhile may not be forgotten before the first one is on disk", async () => {
  const commands = plant.commands([press]);
  await commands.start();
  const onDisk = () => readFileSync(join(plant.dataDir, "state", "commands"), "utf8").includes('"at":"taken"');
  const take = () => commands.take({ ...upstream, payload: command("a", { speed: 1 }) }).then(onDisk);
  expect(await Promise.all([take(), take()])).toEqual([true, true]);
  await answered();
  expect(press.written).toHaveLength(1);
});

it("is not written again after a stop while nobody could tell whether it was written", async () => {
  const commands = plant.commands([press]);
  await commands.start();
  let reads = 0;
  press.read = (_tags, signal) => {
    reads++;
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
  press.failures.push(new UncertainWriteError("the line broke"));
  await commands.take({ ...local, payload: command("a", { speed: 1 }) });
  await vi.waitFor(() => expect(reads).toBe(1));
  await commands.stop();
  const again = new MemoryDevice("press", { speed: { min: 0, max: 300 } });
  const next = plant.commands([again]);
  await next.start();
  await answered();
  expect(again.written).toEqual([]);
  expect(plant.results[0]?.body).toMatchObject({ id: "a", unknown: true, values: { speed: { readBack: 0 } } });
});

it("lets no result leave the queue before the ledger knows that it was there, nor waits for what the queue refuses", async () => {
  const commands = plant.commands([press]);
  let told = false;
  void commands.told().then(() => {
    told = true;
  });
  await Promise.resolve();
  expect(told).toBe(false);
  await commands.start();
  await vi.waitFor(() => expect(told).toBe(true));
  const ledger = () => readFileSync(join(plant.dataDir, "state", "commands"), "utf8");
  const { append } = plant.queue;
  let refuse = true;
  plant.queue.append = async (stream, records) => {
    if (refuse) throw new QueueFullError("full");
    await append.call(plant.queue, stream, records);
    // The record can be delivered from now on.
    void commands.told().then(() => seen.push(ledger().includes('"at":"told"')));
  };
  const seen: boolean[] = [];
  await commands.take({ ...local, payload: command("a", { speed: 1 }) });
  await vi.waitFor(() => expect(ledger()).toContain('"at":"done"'));
  await commands.told();
  refuse = false;
  await vi.waitFor(() => expect(seen).toEqual([true]), { timeout: 4000 });
});
