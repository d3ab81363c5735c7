import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { connect as connectMqtt, type MqttClient } from "mqtt";
import { afterAll, describe, expect, it } from "vitest";
import {
  freePort,
  type Mosquitto,
  mosquitto,
  needProgram,
  type Process,
  scratch,
  startGateway,
  until,
} from "../support/processes.ts";

/**
 * What was acknowledged survives the kill: mosquitto_pub -q 1 into the embedded broker while the upstream is down,
 * SIGKILL right after its PUBACK, restart, delivered. MILLRACE_KILL_CYCLES sets how often (default 40; long run 300).
 */
const cycles = Number(process.env["MILLRACE_KILL_CYCLES"] ?? 25);
const PER_OUTAGE = 20;
const run = promisify(execFile);
const home = scratch("puback");
const cleanup: (() => Promise<unknown> | unknown)[] = [];

afterAll(async () => {
  for (const step of cleanup.reverse()) await step();
  home.remove();
});

const config = (local: number, upstream: number) => `gateway: { id: kill, dataDir: ${join(home.path, "data")} }
queue: { minFree: 16MiB }
http: { port: 0 }
broker: { listeners: [ { port: ${local} } ] }
capture: [ { topics: ["plant/#"], stream: events } ]
uplinks: [ { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${upstream}" } ]
`;

/** Half of the cycles by Debian's client; the other half kill on the very callback of the PUBACK. */
async function publishAndKill(cycle: number, port: number, gateway: Process): Promise<void> {
  const payload = `{"cycle":${cycle}}`;
  if (cycle % 2 === 0) {
    const pub = needProgram("mosquitto_pub", "mosquitto-clients");
    await run(pub, ["-p", String(port), "-q", "1", "-t", "plant/scan", "-m", payload]);
    await gateway.stop("SIGKILL");
    return;
  }
  const client: MqttClient = connectMqtt(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, protocolVersion: 4 });
  client.on("error", () => {});
  await new Promise<void>((resolve, reject) => {
    client.publish("plant/scan", payload, { qos: 1 }, (error) => {
      gateway.child.kill("SIGKILL");
      if (error) reject(error);
      else resolve();
    });
  });
  await gateway.exited;
  client.end(true);
}

describe("SIGKILL right after the PUBACK", () => {
  it(`loses none of ${cycles} acknowledged messages`, { timeout: cycles * 5_000 + 60_000 }, async () => {
    const local = await freePort();
    const broker: Mosquitto = await mosquitto(join(home.path, "mosquitto"));
    cleanup.push(() => broker.stop());
    const seen = new Map<number, number>();
    const receiver = connectMqtt(`mqtt://127.0.0.1:${broker.port}`, {
      clientId: "receiver",
      clean: false,
      reconnectPeriod: 200,
      protocolVersion: 5,
      properties: { sessionExpiryInterval: 3600 },
    });
    cleanup.push(() => receiver.endAsync(true));
    receiver.on("error", () => {});
    receiver.on("message", (topic, payload) => {
      if (topic !== "plant/scan") return;
      const cycle = (JSON.parse(payload.toString()) as { cycle: number }).cycle;
      seen.set(cycle, (seen.get(cycle) ?? 0) + 1);
    });
    await receiver.subscribeAsync("#", { qos: 1 });
    const file = join(home.path, "millrace.yaml");
    writeFileSync(file, config(local, broker.port));

    for (let cycle = 0; cycle < cycles; ) {
      await broker.stop();
      for (let n = 0; n < PER_OUTAGE && cycle < cycles; n += 1, cycle += 1) {
        await publishAndKill(cycle, local, await startGateway(file));
      }
      await broker.start();
      const gateway = await startGateway(file);
      cleanup.push(() => gateway.stop("SIGKILL"));
      await until(`cycle ${cycle} delivered`, () => seen.has(cycle - 1), 60_000).catch(() => {});
      await gateway.stop("SIGKILL");
    }
    const gateway = await startGateway(file);
    await until("everything delivered", () => seen.size === cycles, 60_000).catch(() => {});
    await gateway.stop("SIGTERM");
    const lost = Array.from({ length: cycles }, (_, cycle) => cycle).filter((cycle) => !seen.has(cycle));
    const duplicates = [...seen.values()].reduce((sum, times) => sum + times - 1, 0);
    console.log(JSON.stringify({ cycles, delivered: seen.size, lost: lost.length, duplicates }));
    expect(lost).toEqual([]);
  });
});
