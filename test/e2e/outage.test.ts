import { spawn } from "node:child_process";
import { appendFileSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  buildModbusServer,
  freePort,
  type Mosquitto,
  millrace,
  mosquitto,
  needProgram,
  Process,
  ptyPair,
  scratch,
  startGateway,
  until,
} from "../support/processes.ts";

/**
 * The main job against programs we did not write: libmodbus servers over TCP and over a serial line, Debian's
 * mosquitto upstream, mosquitto_sub as receiver beside `millrace verify`. The upstream goes away in the middle, and the
 * gateway is killed twice during that. MILLRACE_SOAK_SECONDS sets the length (default 60; the long run is 600).
 */
const seconds = Number(process.env["MILLRACE_SOAK_SECONDS"] ?? 60);
const REGISTERS = 1000;
const TICK_MS = 370;
const WINDOW = 64;

const home = scratch("outage");
const cleanup: (() => Promise<unknown> | unknown)[] = [];

beforeAll(() => needProgram("mosquitto_sub", "mosquitto-clients"));
afterAll(async () => {
  for (const step of cleanup.reverse()) await step();
  if (process.env["MILLRACE_KEEP"]) console.log(home.path);
  else home.remove();
});

interface Body {
  _m: { id: string; prev: number };
  ts: number;
  values?: Record<string, number>;
  errors?: Record<string, string>;
}

function configText(upstream: number, plc: number, serial: string, http: number): string {
  const tags = (n: number) =>
    Array.from(
      { length: n },
      (_, a) => `          - { name: r${a}, address: "holding:${a}", type: uint16, every: 1s }`,
    ).join("\n");
  return `gateway: { id: soak, dataDir: ${join(home.path, "data")} }
queue: { minFree: 16MiB, segment: 1MiB }
http: { port: ${http} }
broker: { listeners: [ { port: 0 } ] }
links:
  - name: plc
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${plc} }
    devices:
      - name: tcp
        unit: 1
        topic: plant/tcp
        tags:
${tags(REGISTERS)}
  - name: line
    driver: modbus
    transport: { type: rtu, path: ${serial}, baud: 115200, parity: none }
    devices:
      - name: rtu
        unit: 2
        topic: plant/rtu
        tags:
${tags(REGISTERS)}
uplinks:
  - { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${upstream}", envelope: true, inFlight: ${WINDOW} }
`;
}

/** Tick -> wall ms at which the server took those values. */
function changeLog(file: string): Map<number, number> {
  const log = new Map<number, number>();
  for (const line of readFileSync(file, "utf8").trim().split("\n")) {
    const [tick, wall] = line.split(" ").map(Number);
    if (tick !== undefined && wall !== undefined) log.set(tick, wall);
  }
  return log;
}

/** Every value of every tag must be one that the server had, in the order in which it had them. */
function checkValues(
  bodies: readonly Body[],
  log: Map<number, number>,
): { values: number; wrong: number; disordered: number } {
  const last = new Map<string, number>();
  let values = 0;
  let wrong = 0;
  let disordered = 0;
  for (const body of bodies) {
    for (const [tag, value] of Object.entries(body.values ?? {})) {
      values += 1;
      const address = Number(tag.slice(1));
      // value = tick * 31 + address * 17 mod 2^16, and 31 has an inverse there: the value names its tick.
      const tick = tickOf((value - address * 17) & 0xffff);
      if (!log.has(tick)) wrong += 1;
      else if (tick < (last.get(tag) ?? 0)) disordered += 1;
      else last.set(tag, tick);
      const taken = log.get(tick) ?? 0;
      // Read after the server took the value, and before it took the next but one (the reply travels between the two).
      if (body.ts < taken - 50 || body.ts > taken + TICK_MS + 1500) wrong += 1;
    }
  }
  return { values, wrong, disordered };
}

/**
 * Between two kills a scan is expected each second from the first to the last that came; between a kill and the first scan
 * after it none is. A scan that was answered late (the machine is shared) is late, and the next one is not: so slots are
 * counted over the whole span, not from neighbour to neighbour, and long silences are shown beside.
 */
function checkScans(ts: readonly number[], kills: readonly { at: number; back: number }[]) {
  const times = [...ts].sort((x, y) => x - y);
  const holes: string[] = [];
  let expected = 0;
  let missing = 0;
  let begun = 0;
  for (let i = 1; i <= times.length; i += 1) {
    const from = times[i - 1] ?? 0;
    const to = times[i] ?? Number.POSITIVE_INFINITY;
    const killed = kills.some((kill) => from <= kill.at && to >= kill.at);
    if (!killed && to - from > 1500 && i < times.length) holes.push(`${new Date(from).toISOString()}: ${to - from} ms`);
    if (!killed && i < times.length) continue;
    const slots = Math.round((from - (times[begun] ?? 0)) / 1000) + 1;
    expected += slots;
    missing += Math.max(0, slots - (i - begun));
    begun = i;
  }
  return { expected, missing, holes, received: times.length };
}

interface Message {
  topic: string;
  body: Body;
}
const parseLine = (line: string): Message => {
  const space = line.indexOf(" ");
  return { topic: line.slice(0, space), body: JSON.parse(line.slice(space + 1)) as Body };
};

const inverse = (() => {
  for (let i = 1; i < 65_536; i += 2) if (((i * 31) & 0xffff) === 1) return i;
  throw new Error("31 is odd, so it has an inverse");
})();
const tickOf = (residue: number) => Math.imul(residue, inverse) & 0xffff;

describe("upstream away and two kills in the middle", () => {
  it(`loses no scan in ${seconds} s of 2,000 tags at 1 s`, { timeout: (seconds + 240) * 1000 }, async () => {
    const server = buildModbusServer(home.path);
    const broker: Mosquitto = await mosquitto(join(home.path, "mosquitto"));
    cleanup.push(() => broker.stop());
    const line = await ptyPair(home.path);
    cleanup.push(line.stop);
    const plcPort = await freePort();
    const http = await freePort();
    const logs = { tcp: join(home.path, "tcp.log"), rtu: join(home.path, "rtu.log") };
    const servers = [
      new Process(server, ["tcp", String(plcPort), "1", String(REGISTERS), String(TICK_MS), logs.tcp]),
      new Process(server, ["rtu", line.b, "2", String(REGISTERS), String(TICK_MS), logs.rtu]),
    ];
    for (const s of servers) {
      cleanup.push(() => s.stop());
      await s.line(/ready/);
    }
    const received = join(home.path, "received.ndjson");
    writeFileSync(received, "");
    const subscribe = () => {
      const sub = spawn(
        "mosquitto_sub",
        [
          "-p",
          String(broker.port),
          "-q",
          "1",
          "-c",
          "-i",
          "witness",
          "-V",
          "5",
          "-x",
          "3600",
          "-F",
          "%t %p",
          "-t",
          "plant/#",
        ],
        { stdio: ["ignore", openSync(received, "a"), "ignore"] },
      );
      cleanup.push(() => sub.kill());
      return sub;
    };
    const witness = subscribe();
    const verify = millrace([
      "verify",
      "--url",
      `mqtt://127.0.0.1:${broker.port}`,
      "--topic",
      "#",
      "--client-id",
      "verifier",
      "--json",
      "--for",
      "1h",
    ]);
    cleanup.push(() => verify.stop("SIGKILL"));

    const config = join(home.path, "millrace.yaml");
    writeFileSync(config, configText(broker.port, plcPort, line.a, http));
    const phase = (seconds / 10) * 1000;
    const begun = Date.now();
    let gateway = await startGateway(config);
    cleanup.push(() => gateway.stop("SIGKILL"));
    await pause(phase * 3.5);

    await broker.stop();
    const down = Date.now();
    const kills: { at: number; back: number }[] = [];
    for (const wait of [phase, phase]) {
      await pause(wait);
      const at = Date.now();
      await gateway.stop("SIGKILL");
      gateway = await startGateway(config);
      kills.push({ at, back: Date.now() });
    }
    await pause(Math.max(0, phase * 3 - (Date.now() - down)));
    const rss = () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.child.pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
    const rssDown = rss();
    await broker.start();
    await pause(Math.max(0, seconds * 1000 - (Date.now() - begun)));

    const rssEnd = rss();
    const metrics = await (await fetch(`http://127.0.0.1:${http}/metrics`)).text();
    const wire = metrics
      .split("\n")
      .filter((text) => /^millrace_(modbus_frames|request_timeouts|scan_overruns)/.test(text));
    expect(await gateway.stop("SIGTERM")).toBe(0);
    const ended = Date.now();
    const lines = () =>
      readFileSync(received, "utf8")
        .split("\n")
        .filter((text) => text.endsWith("}"));
    let before = -1;
    await until(
      "mosquitto_sub has everything",
      async () => {
        const now = lines().length;
        const still = now === before;
        before = now;
        await pause(1500);
        return still;
      },
      60_000,
    );
    expect(witness.exitCode).toBe(null);
    expect(await verify.stop("SIGINT")).toBe(0);
    const report = JSON.parse(verify.lines.slice(verify.lines.indexOf("{")).join("\n")) as object;

    const messages = lines().map(parseLine);
    const bodies = messages.map((message) => message.body);
    const unique = new Map(messages.map((message) => [message.body._m.id, message]));
    const errors: string[] = [];
    const holes: string[] = [];
    const sum = { scans: 0, expected: 0, missing: 0, values: 0, wrong: 0, disordered: 0 };
    for (const name of ["tcp", "rtu"] as const) {
      const mine = [...unique.values()].filter((m) => m.topic === `plant/${name}`).map((m) => m.body);
      // A scan in which a request was not answered is a scan: it says so of the tags concerned.
      for (const body of mine) {
        for (const reason of new Set(Object.values(body.errors ?? {}))) errors.push(`${name} ${body.ts}: ${reason}`);
      }
      const checked = checkValues(mine, changeLog(logs[name]));
      const scans = checkScans(
        mine.map((body) => body.ts),
        kills,
      );
      sum.scans += scans.received;
      sum.expected += scans.expected;
      holes.push(...scans.holes.map((hole) => `${name}: ${hole}`));
      sum.missing += scans.missing;
      sum.values += checked.values;
      sum.wrong += checked.wrong;
      sum.disordered += checked.disordered;
    }
    const { missing, wrong, disordered, scans } = sum;
    const duplicates = bodies.length - unique.size;
    const figures = {
      seconds,
      tags: 2 * REGISTERS,
      kills: kills.length,
      ...sum,
      duplicates,
      errors,
      holes,
      killsAt: kills.map(({ at, back }) => `${new Date(at).toISOString()} to ${new Date(back).toISOString()}`),
      wire,
      rssDownMiB: Math.round(rssDown),
      rssEndMiB: Math.round(rssEnd),
      lastScanAgeMs: ended - Math.max(...bodies.map((body) => body.ts)),
      verify: report,
    };
    console.log(JSON.stringify(figures, null, 1));
    appendFileSync(join(home.path, "figures.json"), JSON.stringify(figures));
    expect({ missing, wrong, disordered }).toEqual({ missing: 0, wrong: 0, disordered: 0 });
    expect(duplicates).toBeLessThanOrEqual(3 * WINDOW);
    expect(scans).toBeGreaterThan(2 * (seconds - 20));
  });
});
