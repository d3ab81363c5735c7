import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { afterAll, describe, expect, it } from "vitest";
import { freePort, millrace, mosquitto, type Process, scratch, startGateway, until } from "../support/processes.ts";

/** The queue's commands against a running gateway, and then against the stopped one. */
const home = scratch("insight");
const cleanup: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const step of cleanup.reverse()) await step();
  home.remove();
});

const RECORDS = 1000;
const config = join(home.path, "millrace.yaml");

function configure(ports: { upstream: number; local: number; http: number }, uplinks: readonly string[]): void {
  writeFileSync(
    config,
    `gateway: { id: shop, dataDir: ${join(home.path, "data")} }
queue: { minFree: 16MiB, segment: 64KiB }
http: { port: ${ports.http} }
broker: { listeners: [ { port: ${ports.local} } ] }
capture: [ { topics: ["plant/#"], stream: events } ]
uplinks:
${uplinks.map((name) => `  - { name: ${name}, type: mqtt, url: "mqtt://127.0.0.1:${ports.upstream}", envelope: true }`).join("\n")}
`,
  );
}

async function queue(...args: string[]): Promise<{ code: number | string; out: string }> {
  const program = millrace(["queue", ...args, "--config", config]);
  const code = await program.exited;
  // Its output may come after its end.
  await until("the end of its output", () => program.child.stdout?.readableEnded === true, 5_000);
  return { code, out: program.lines.join("\n") };
}

async function stats(): Promise<{
  uplinks: { name: string; streams: { events: { depth: number } } }[];
  epoch: number;
}> {
  const { out } = await queue("stats", "--json");
  const found = JSON.parse(out);
  return { ...found, epoch: found.streams.events.epoch };
}

async function publish(client: MqttClient, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n += 100) {
    const batch = Array.from({ length: Math.min(100, to - n + 1) }, (_, index) => n + index);
    await Promise.all(batch.map((value) => client.publishAsync("plant/a", `${value} ${"x".repeat(200)}`, { qos: 1 })));
  }
}

function owedBy(found: Awaited<ReturnType<typeof stats>>, name: string): number | undefined {
  return found.uplinks.find((uplink) => uplink.name === name)?.streams.events.depth;
}

describe("millrace queue, from the first record to the restored backup", () => {
  it("shows, exports, forgets, backs up, resets and restores, and everything is delivered", async () => {
    const ports = { upstream: await freePort(), local: await freePort(), http: await freePort() };
    configure(ports, ["cloud", "old"]);
    let gateway: Process = await startGateway(config);
    cleanup.push(() => gateway.stop());
    let local = await connectAsync(`mqtt://127.0.0.1:${ports.local}`);
    await publish(local, 1, RECORDS);
    await local.endAsync();

    const first = await stats();
    expect([owedBy(first, "cloud"), owedBy(first, "old")]).toEqual([RECORDS, RECORDS]);
    const peeked = await queue("peek", "--limit", "3");
    expect(peeked.out.split("\n").map((line) => JSON.parse(line).seq)).toEqual([1, 2, 3]);
    const file = join(home.path, "all.ndjson");
    expect(await queue("export", "--out", file)).toMatchObject({ code: 0 });
    const exported = readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(exported.length).toBe(RECORDS);
    expect(exported.map(({ text }) => Number.parseInt(text, 10))).toEqual(exported.map(({ seq }) => seq));

    const status = millrace(["status", "--config", config]);
    await status.exited;
    expect(status.lines.join("\n")).toMatch(/events +\d+ .*1,001.*bytes per record/s);
    const metrics = await (await fetch(`http://127.0.0.1:${ports.http}/metrics`)).text();
    expect(metrics).toMatch(/millrace_queue_gaps_pending\{uplink="cloud"\} 0/);
    expect(metrics).toMatch(/millrace_queue_written_bytes_per_record \d/);

    // "old" leaves the configuration, and holds its data until it is forgotten.
    await gateway.stop();
    configure(ports, ["cloud"]);
    gateway = await startGateway(config);
    expect(await queue("forget", "old")).toMatchObject({ code: 0 });
    expect(owedBy(await stats(), "old")).toBeUndefined();

    // A backup in the middle of what comes in.
    local = await connectAsync(`mqtt://127.0.0.1:${ports.local}`);
    const backup = join(home.path, "backup");
    let taken = RECORDS;
    const backedUp = queue("backup", backup);
    let busy = true;
    void backedUp.finally(() => {
      busy = false;
    });
    for (; busy; taken += 10) await publish(local, taken + 1, taken + 10);
    expect(await backedUp).toMatchObject({ code: 0 });
    await local.endAsync();
    const before = await stats();
    expect(owedBy(before, "cloud")).toBe(taken);
    await gateway.stop();

    expect(await queue("export", "--uplink", "cloud", "--out", file)).toMatchObject({ code: 0 });
    expect(readFileSync(file, "utf8").trim().split("\n").length).toBe(taken);
    expect((await queue("restore", backup)).code).toBe(78);
    expect(await queue("reset", "--yes")).toMatchObject({ code: 0 });
    expect(readdirSync(join(home.path, "data", "queue"))).toEqual(["trash"]);
    const restored = await queue("restore", backup);
    expect(restored.code).toBe(0);
    const held = Number(/^([\d,]+) events/.exec(restored.out)?.[1]?.replaceAll(",", ""));
    expect(held).toBeGreaterThanOrEqual(RECORDS);
    expect(held).toBeLessThanOrEqual(taken);
    console.log(`${taken} taken, ${held} of them in the backup`);
    expect(owedBy(await stats(), "cloud")).toBe(held);

    // The upstream is there now: what the backup held comes under its old ids, what is new in a new epoch.
    const dir = join(home.path, "mosquitto");
    const broker = await mosquitto(dir);
    cleanup.push(() => broker.stop());
    configure({ ...ports, upstream: broker.port }, ["cloud"]);
    const verify = millrace(["verify", "--url", `mqtt://127.0.0.1:${broker.port}`, "--topic", "#", "--json"], {});
    cleanup.push(() => verify.stop());
    // What it heard of only in part would not be a proof.
    await verify.line(/connected to/);
    const receiver = await connectAsync(`mqtt://127.0.0.1:${broker.port}`);
    const ids: string[] = [];
    receiver.on("message", (_topic, payload) => {
      const { _m } = JSON.parse(String(payload)) as { _m?: { id?: string } };
      if (_m?.id !== undefined) ids.push(_m.id);
    });
    await receiver.subscribeAsync("plant/#", { qos: 1 });
    gateway = await startGateway(config);
    local = await connectAsync(`mqtt://127.0.0.1:${ports.local}`);
    await publish(local, 1, 10);
    await local.endAsync();
    await until("everything delivered", () => new Set(ids).size >= held + 10, 30_000);
    await receiver.endAsync();
    const epochs = new Map<string, number>();
    for (const id of new Set(ids)) {
      const epoch = id.split("/")[2] ?? "";
      epochs.set(epoch, (epochs.get(epoch) ?? 0) + 1);
    }
    const old = before.epoch.toString(16).padStart(8, "0");
    expect(epochs.get(old)).toBe(held);
    expect([...epochs.values()].sort((a, b) => a - b)).toEqual([10, held]);
    await until("the cursor", async () => owedBy(await stats(), "cloud") === 0, 10_000);
    expect(await gateway.stop()).toBe(0);
    await verify.stop("SIGINT");
    await until("the end of its output", () => verify.child.stdout?.readableEnded === true, 5_000);
    const verdict = JSON.parse(verify.lines.slice(verify.lines.indexOf("{")).join("\n"));
    console.log(verdict.answer);
    expect(verdict).toMatchObject({ complete: true, caughtUp: true, duplicates: 0 });
  });
});
