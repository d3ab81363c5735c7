import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connectAsync } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CountingPlc } from "../support/counting-plc.ts";
import {
  freePort,
  type Mosquitto,
  millrace,
  mosquitto,
  type Process,
  scratch,
  startGateway,
  until,
} from "../support/processes.ts";

/** A gateway whose configuration changes while clients publish and links are polled: what is touched, and that nothing is lost. */
const home = scratch("reload");
const file = join(home.path, "millrace.yaml");
const cleanup: (() => Promise<unknown>)[] = [];
const plcs = { a: new CountingPlc(), b: new CountingPlc() };
const ports = { a: 0, b: 0, local: 0, http: 0 };
/** Bodies that were acknowledged, and topics with bodies that came to the broker upstream. */
const acked = new Set<string>();
const arrived = new Set<string>();
const topics = new Map<string, number>();
let north: Mosquitto;
let gateway: Process;

interface Shown {
  readonly tags?: string;
  readonly more?: string;
  readonly uplinks?: string;
  readonly dataDir?: string;
}

const EVERY = "every: 50ms";
/** Between two messages of one publisher: no backlog is to grow. */
const PACE_MS = 5;
const CLOUD = () => `  - { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${north.port}", encoder: raw }`;

function configured({ tags = "", more = "", uplinks = CLOUD(), dataDir = "data" }: Shown = {}): string {
  const device = (name: string, extra: string) =>
    `{ name: ${name}, unit: 1, topic: plant/${name}, tags: [ { name: n, address: "holding:0", type: uint32, ${EVERY} }${extra} ] }`;
  const link = (name: "a" | "b", extra = "") =>
    `  - { name: line-${name}, driver: modbus, transport: { type: tcp, host: 127.0.0.1, port: ${ports[name]} }, devices: [ ${device(name, extra)} ] }`;
  return `gateway: { id: gw, dataDir: ${dataDir} }
queue: { minFree: 16MiB }
broker: { listeners: [ { port: ${ports.local} } ] }
capture: [ { topics: [ "shop/#" ], stream: events } ]
http: { port: ${ports.http} }
links:
${link("a", tags)}
${link("b")}
${more}uplinks:
${uplinks}
`;
}

/** Runs `millrace reload`. */
async function reload(...args: string[]): Promise<{ code: number | string; said: string }> {
  const asked = millrace(["reload", "-c", file, ...args]);
  const code = await asked.exited;
  return { code, said: asked.lines.join("\n") };
}
const said = (pattern: RegExp) => gateway.lines.filter((line) => pattern.test(line)).length;

/** Publishes one after the other for as long as the test lasts, and again what was not acknowledged. */
async function publishing(name: string, over: AbortSignal): Promise<void> {
  let n = 0;
  while (!over.aborted) {
    try {
      const client = await connectAsync(`mqtt://127.0.0.1:${ports.local}`, {
        reconnectPeriod: 0,
        connectTimeout: 2000,
      });
      const lost = new Promise<never>((_, reject) =>
        client.once("close", () => reject(new Error("the connection is gone"))),
      );
      lost.catch(() => {});
      client.on("error", () => {});
      for (; !over.aborted; n++) {
        await Promise.race([client.publishAsync(`shop/${name}`, `${name}-${n}`, { qos: 1 }), lost]);
        acked.add(`${name}-${n}`);
        await pause(PACE_MS);
      }
      await client.endAsync(true);
    } catch {
      // The broker restarts: this one again, when it is back.
      await pause(PACE_MS);
    }
  }
}

const ending = new AbortController();
const publishers: Promise<void>[] = [];
beforeAll(async () => {
  ports.a = await plcs.a.listen();
  ports.b = await plcs.b.listen();
  ports.local = await freePort();
  ports.http = await freePort();
  cleanup.push(
    () => plcs.a.stop(),
    () => plcs.b.stop(),
  );
  north = await mosquitto(join(home.path, "north"));
  cleanup.push(() => north.stop());
  const upstream = await connectAsync(`mqtt://127.0.0.1:${north.port}`, { clientId: "reader", clean: false });
  cleanup.push(() => upstream.endAsync(true));
  upstream.on("message", (topic, payload) => {
    topics.set(topic, (topics.get(topic) ?? 0) + 1);
    arrived.add(payload.toString());
  });
  await upstream.subscribeAsync("#", { qos: 1 });
  mkdirSync(join(home.path, "data"));
  writeFileSync(file, configured());
  gateway = await startGateway(file);
  cleanup.push(() => gateway.stop());
  for (const name of ["p1", "p2"]) publishers.push(publishing(name, ending.signal));
  await until("values of both links", () => ["plant/a", "plant/b"].every((one) => hasTopic(one)), 20_000);
}, 60_000);
afterAll(async () => {
  ending.abort();
  for (const step of cleanup.reverse()) await step();
  home.remove();
});

const hasTopic = (part: string) => [...topics.keys()].some((topic) => topic.includes(part));
const countOf = (part: string) => [...topics].reduce((sum, [topic, n]) => sum + (topic.includes(part) ? n : 0), 0);

describe("a configuration that changes while it runs", () => {
  it("is applied by SIGHUP to the link that differs, and the other one is not touched", async () => {
    const before = plcs.b.connections;
    writeFileSync(file, configured({ tags: `, { name: m, address: "holding:10", type: uint16, ${EVERY} }` }));
    gateway.child.kill("SIGHUP");
    await gateway.line(/"msg":"configuration applied"/);
    expect(gateway.lines.some((line) => line.includes("device a: tags changed"))).toBe(true);
    const seen = countOf("plant/a");
    await until("values of the changed link", () => countOf("plant/a") > seen + 3, 20_000);
    expect(plcs.b.connections).toBe(before);
    expect(plcs.a.connections).toBeGreaterThan(1);
  });

  it("shows its plan first, and changes nothing by that", async () => {
    writeFileSync(file, configured());
    const { code, said: text } = await reload("--dry-run");
    expect(code).toBe(0);
    expect(text).toMatch(/PART\s+WHY\s+link line-a\s+restart\s+device a: tags changed/);
    expect(said(/"msg":"configuration applied"/)).toBe(1);
  });

  it("gives a new uplink all that is kept, and lets one go", async () => {
    const second = `  - { name: copy, type: mqtt, url: "mqtt://127.0.0.1:${north.port}", topic: "copy/{topic}", encoder: raw }`;
    writeFileSync(file, configured({ uplinks: `${CLOUD()}\n${second}` }));
    const { code, said: text } = await reload();
    expect(text).toMatch(/uplink copy\s+start\s+new/);
    expect(code).toBe(0);
    await until("what the new uplink sends", () => countOf("copy/shop/p1") > 5, 20_000);
    writeFileSync(file, configured());
    expect((await reload()).said).toMatch(
      /uplink copy\s+stop\s+removed; what it is owed stays until millrace queue forget/,
    );
    const stats = millrace(["queue", "stats", "-c", file]);
    await stats.exited;
    expect(stats.lines.join("\n")).toMatch(/copy/);
  });

  it("is refused with line and column where it has a fault, and all runs on", async () => {
    writeFileSync(file, configured().replace("driver: modbus", "driver: modbuss"));
    const { code, said: text } = await reload();
    expect(code).toBe(78);
    expect(text).toMatch(/millrace\.yaml:7:\d+: links\[0\]\.driver: .*modbus/);
    expect(text).toMatch(/not applied; the gateway runs with the configuration from before/);
    gateway.child.kill("SIGHUP");
    await gateway.line(/"error":".*modbuss.*"msg":"configuration not applied; what ran before runs"/);
    const seen = countOf("plant/a");
    await until("values as before", () => countOf("plant/a") > seen + 3, 20_000);
  });

  it("restarts the whole where a port changes, in the same process, and says so", async () => {
    ports.http = await freePort();
    writeFileSync(file, configured());
    const { code, said: text } = await reload();
    expect(text).toMatch(/http\s+restart\s+port changed\nAll parts restart, within the process/);
    expect(text).toMatch(/applied$/);
    expect(code).toBe(0);
    expect((await fetch(`http://127.0.0.1:${ports.http}/healthz`)).status).toBe(200);
  });

  it("goes back where it does not start", async () => {
    const other = join(home.path, "other.yaml");
    const http = await freePort();
    writeFileSync(
      other,
      `gateway: { id: other, dataDir: taken }\nbroker: { listeners: [] }\nhttp: { port: ${http} }\n`,
    );
    const holder = await startGateway(other);
    cleanup.push(() => holder.stop());
    writeFileSync(file, configured({ dataDir: "taken" }));
    const { code, said: text } = await reload("--data", join(home.path, "data"));
    expect(text).toMatch(/did not start: another process uses the data folder .*taken/);
    expect(code).toBe(78);
    await gateway.line(/"by":"local user [^"]+","error":"did not start/);
    const seen = countOf("plant/a");
    await until("values as before", () => countOf("plant/a") > seen + 3, 20_000);
    writeFileSync(file, configured());
    expect(await reload()).toEqual({ code: 0, said: "nothing differs from what runs" });
  });

  it("has lost nothing that was acknowledged, in one process, and has it in the audit trail", async () => {
    ending.abort();
    await Promise.all(publishers);
    await until("all upstream", () => [...acked].every((body) => arrived.has(body)), 60_000);
    expect(gateway.running).toBe(true);
    expect(acked.size).toBeGreaterThan(100);
    const trail = millrace(["audit", "show", "-c", file]);
    await trail.exited;
    expect(trail.lines.filter((line) => line.includes("config.reload")).length).toBeGreaterThanOrEqual(7);
    process.stdout.write(
      `reload: ${said(/"msg":"configuration applied"/)} applied, ${said(/"msg":"configuration not applied/)} refused; ` +
        `${acked.size} acknowledged, missing ${[...acked].filter((body) => !arrived.has(body)).length}; pid ${gateway.child.pid} throughout\n`,
    );
  });
});
