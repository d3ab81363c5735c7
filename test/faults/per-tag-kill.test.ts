import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect as connectMqtt } from "mqtt";
import { afterAll, describe, expect, it } from "vitest";
import { CompletenessTracker } from "../../gateway/cli/verify/tracker.ts";
import { mosquitto, scratch, startGateway, until } from "../support/processes.ts";

/**
 * A message per tag, and SIGKILL at any moment: between the messages of one record too. What the receiver has proves that
 * no record lacks a part. MILLRACE_KILL_CYCLES sets how often (default 12).
 */
const cycles = Number(process.env["MILLRACE_KILL_CYCLES"] ?? 12);
const TAGS = 20;
const home = scratch("per-tag");
const cleanup: (() => Promise<unknown> | unknown)[] = [];
afterAll(async () => {
  for (const step of cleanup.reverse()) await step();
  home.remove();
});

const tags = Array.from({ length: TAGS }, (_, i) => `{ name: t${i}, wave: counter, period: 20ms, every: 20ms }`);
const config = (upstream: number) => `gateway: { id: kill, dataDir: ${join(home.path, "data")} }
queue: { minFree: 16MiB }
http: { port: 0 }
broker: { listeners: [ { port: 0 } ] }
links:
  - { name: plant, driver: simulated, devices: [ { name: press, topic: plant/press, tags: [ ${tags.join(", ")} ] } ] }
uplinks:
  - { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${upstream}", encoder: per-tag, topic: "uns/{device}/{tag}", inFlight: 7 }
`;

describe("SIGKILL between the messages of a record", () => {
  it(`loses no part in ${cycles} kills`, { timeout: cycles * 10_000 + 60_000 }, async () => {
    const broker = await mosquitto(join(home.path, "mosquitto"));
    cleanup.push(() => broker.stop());
    const tracker = new CompletenessTracker({ fromStart: true });
    const topics = new Set<string>();
    let messages = 0;
    const receiver = connectMqtt(`mqtt://127.0.0.1:${broker.port}`, { clientId: "receiver", protocolVersion: 5 });
    cleanup.push(() => receiver.endAsync(true));
    receiver.on("message", (topic, payload, { properties, retain }) => {
      messages++;
      topics.add(topic);
      tracker.message(payload, { ...properties?.userProperties }, retain);
    });
    await receiver.subscribeAsync("uns/#", { qos: 1 });
    const file = join(home.path, "millrace.yaml");
    writeFileSync(file, config(broker.port));
    for (let cycle = 0; cycle < cycles; cycle++) {
      const gateway = await startGateway(file);
      cleanup.push(() => gateway.stop("SIGKILL"));
      const before = messages;
      // A number of messages that is no multiple of a record's.
      await until(`messages in cycle ${cycle}`, () => messages >= before + 151 + 13 * cycle, 30_000);
      await gateway.stop("SIGKILL");
    }
    const last = await startGateway(file);
    cleanup.push(() => last.stop("SIGKILL"));
    const target = tracker.report().received + 50;
    await until("more is delivered", () => tracker.report().received >= target, 30_000);
    await last.stop("SIGTERM");
    const { received, duplicates, missingRanges, conflicts, malformed, complete } = tracker.report();
    const parts = tracker.save().parts?.length ?? 0;
    console.log(
      JSON.stringify({ kills: cycles, messages, received, duplicates, missingRanges, conflicts, malformed, parts }),
    );
    expect(complete).toBe(true);
    for (let i = 0; i < TAGS; i++) expect(topics.has(`uns/press/t${i}`)).toBe(true);
    // Bounded by the window: a record or two of each kill.
    expect(duplicates).toBeLessThanOrEqual(cycles * 7);
  });
});
