import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { afterEach, describe, expect, it } from "vitest";
import { CountingPlc } from "../support/counting-plc.ts";
import { freePort, mosquitto, Process, root, scratch, until } from "../support/processes.ts";
import { Supervisor } from "../support/supervisor.ts";

/**
 * `millrace run` under what systemd is to a service. Something in it stands still: it is noticed within the watchdog's time,
 * killed and started again, and all that was acknowledged arrives. What stands still elsewhere (a device, a server) is none.
 */
const cleanup: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

const main = join(root, "dist", "gateway", "main.js");
const faults = join(root, "test", "faults", "programs", "fault-points.mjs");

interface Ports {
  readonly plc: number;
  readonly broker: number;
  readonly upstream: number;
}

function supervised(folder: string, watchdogMs: number, fault: string, { plc, broker, upstream }: Ports): Supervisor {
  const config = join(folder, "millrace.yaml");
  writeFileSync(
    config,
    `gateway: { id: watched, dataDir: ${join(folder, "data")} }
queue: { minFree: 16MiB }
http: { port: 0 }
broker: { listeners: [ { port: ${broker} } ] }
capture: [ { topics: ["scan/#"], stream: events } ]
links:
  - name: plc
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${plc} }
    timeout: 200ms
    devices:
      - { name: press, unit: 1, topic: plant/press, tags: [ { name: count, address: "holding:10", type: uint16, every: 200ms } ] }
uplinks: [ { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${upstream}", ackTimeout: 500ms, encoder: raw } ]
`,
  );
  const args = ["-c", 'ulimit -c 0; exec "$0" "$@"', process.execPath, "--import", faults, main, "run", "-c", config];
  const launch = (env: Record<string, string>) =>
    new Process("/bin/sh", args, { env: { ...env, MILLRACE_TEST_FAULT: fault } });
  const supervisor = new Supervisor(folder, watchdogMs, launch);
  cleanup.push(() => supervisor.stop());
  return supervisor;
}

async function plc(): Promise<number> {
  const device = new CountingPlc();
  const port = await device.listen();
  cleanup.push(() => device.stop());
  return port;
}

/** Takes connections, reads what comes, and never says a word. */
async function mute(): Promise<{ port: number; connections: () => number }> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server: Server = createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanup.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { port: address.port, connections: () => connections };
}

/** A scanner with QoS 1: goes on over all restarts, and knows what was acknowledged to it. */
class Scanner {
  readonly acknowledged = new Set<number>();
  readonly #client: MqttClient;
  #next = 1;
  #over = false;

  constructor(client: MqttClient) {
    this.#client = client;
    for (let lane = 0; lane < 10; lane++) void this.#publish();
  }

  /** Ends; what has no answer by then does not count. */
  async stop(): Promise<void> {
    this.#over = true;
    await this.#client.endAsync(true);
  }

  async #publish(): Promise<void> {
    while (!this.#over) {
      const number = this.#next++;
      const said = this.#client.publishAsync("scan/1", String(number), { qos: 1 });
      const isAcknowledged = await said.then(
        () => true,
        () => false,
      );
      if (isAcknowledged) this.acknowledged.add(number);
      // As fast as a busy line, and no faster.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

interface Upstream {
  readonly port: number;
  readonly scans: Set<number>;
  readonly readings: () => number;
}

/** A real server, and somebody who listens to all of it. */
async function upstreamServer(folder: string): Promise<Upstream> {
  const server = await mosquitto(join(folder, "upstream"));
  cleanup.push(() => server.stop());
  const scans = new Set<number>();
  let readings = 0;
  const ear = await connectAsync(`mqtt://127.0.0.1:${server.port}`, { protocolVersion: 5 });
  cleanup.push(() => ear.endAsync(true));
  ear.on("message", (topic, payload) => {
    if (topic.endsWith("scan/1")) scans.add(Number(payload.toString()));
    else if (topic.endsWith("plant/press/count")) readings++;
  });
  await ear.subscribeAsync("#", { qos: 1 });
  return { port: server.port, scans, readings: () => readings };
}

/** The whole case: a fault in the middle of the work. */
async function run(fault: string, watchdogMs: number): Promise<{ supervisor: Supervisor; noticedMs: number }> {
  const home = scratch(`watchdog-${fault}`);
  cleanup.push(() => home.remove());
  const upstream = await upstreamServer(home.path);
  const ports = { plc: await plc(), broker: await freePort(), upstream: upstream.port };
  const supervisor = supervised(home.path, watchdogMs, fault, ports);
  await supervisor.start();
  const said = () => supervisor.service?.lines.slice(-8).join("\n") ?? "";
  await until(said, () => supervisor.readies === 1, 60_000);
  const options = { reconnectPeriod: 200, clientId: "scanner-1" } as const;
  const scanner = new Scanner(await connectAsync(`mqtt://127.0.0.1:${ports.broker}`, options));
  cleanup.push(() => scanner.stop());
  await until(said, () => upstream.scans.size > 100 && upstream.readings() > 5, 60_000);

  const wedgedMs = performance.now();
  supervisor.service?.child.kill("SIGUSR2");
  await until(said, () => supervisor.kills.length > 0, 3 * watchdogMs);
  const noticedMs = (supervisor.kills[0]?.atMs ?? Number.NaN) - wedgedMs;
  await until(said, () => supervisor.readies === 2, 60_000);
  const [scans, readings] = [scanner.acknowledged.size, upstream.readings()];
  await until(said, () => scanner.acknowledged.size > scans + 100 && upstream.readings() > readings + 5, 60_000);
  await scanner.stop();
  const missing = () => [...scanner.acknowledged].filter((number) => !upstream.scans.has(number));
  await until(
    () => `${missing().length} missing\n${said()}`,
    () => missing().length === 0,
    60_000,
  );
  console.log(
    `${fault}: watchdog ${watchdogMs / 1000} s, noticed after ${(noticedMs / 1000).toFixed(1)} s ` +
      `(${supervisor.kills[0]?.why}), acknowledged ${scanner.acknowledged.size}, missing ${missing().length}`,
  );
  expect(missing()).toEqual([]);
  expect(supervisor.kills).toHaveLength(1);
  return { supervisor, noticedMs };
}

describe("what stands still in the gateway is noticed within the watchdog's time, and nothing is lost", () => {
  it("the event loop", async () => {
    const { supervisor } = await run("loop", 3_000);
    // Counted from the last ping, which may have been on its way when the loop stood still.
    expect(supervisor.kills[0]?.why).toBe("silent");
  });

  it("an uplink", async () => {
    const watchdogMs = 24_000;
    const { supervisor, noticedMs } = await run("uplink", watchdogMs);
    expect(supervisor.kills[0]).toMatchObject({
      why: "trigger",
      status: expect.stringMatching(
        /^uplink cloud is stuck: its uplink does not close, for \d+ s; to be started again$/,
      ),
    });
    expect(noticedMs).toBeLessThanOrEqual(watchdogMs);
  });

  it("a link", async () => {
    const watchdogMs = 16_000;
    const { supervisor, noticedMs } = await run("link", watchdogMs);
    expect(supervisor.kills[0]).toMatchObject({
      why: "trigger",
      status: expect.stringMatching(
        /^link plc is stuck: its driver does not give up calls, for \d+ s; to be started again$/,
      ),
    });
    expect(noticedMs).toBeLessThanOrEqual(watchdogMs);
  });
});

describe("what stands still elsewhere", () => {
  it("does not restart the gateway: a dead device and a silent server, for three times the watchdog's time", async () => {
    const watchdogMs = 3_000;
    const home = scratch("watchdog-elsewhere");
    cleanup.push(() => home.remove());
    const device = await mute();
    const server = await mute();
    const ports = { plc: device.port, broker: await freePort(), upstream: server.port };
    const supervisor = supervised(home.path, watchdogMs, "none", ports);
    await supervisor.start();
    const said = () => supervisor.service?.lines.slice(-8).join("\n") ?? "";
    await until(said, () => supervisor.readies === 1, 60_000);
    const scanner = new Scanner(await connectAsync(`mqtt://127.0.0.1:${ports.broker}`));
    cleanup.push(() => scanner.stop());
    // Two pings in each watchdog's time.
    await until(said, () => supervisor.pings >= 7, 10 * watchdogMs);
    await until(said, () => scanner.acknowledged.size > 100, 60_000);
    console.log(
      `elsewhere: ${supervisor.pings} pings, ${supervisor.kills.length} kills, device connections ` +
        `${device.connections()}, server connections ${server.connections()}, acknowledged ${scanner.acknowledged.size}`,
    );
    expect(device.connections()).toBeGreaterThan(0);
    expect(server.connections()).toBeGreaterThan(0);
    expect(supervisor.kills).toEqual([]);
    expect(supervisor.readies).toBe(1);
  });
});
