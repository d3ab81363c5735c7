import { execFileSync } from "node:child_process";
import { symlinkSync, unlinkSync } from "node:fs";
import { createConnection, createServer, type Server } from "node:net";
import { join } from "node:path";
import { env } from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { SimulatedRtuServer } from "../../drivers/modbus/simulator/rtu-server.ts";
import { SimulatedUnit } from "../../drivers/modbus/simulator/server.ts";
import { SimulatedTcpServer } from "../../drivers/modbus/simulator/tcp-server.ts";
import type { Clock } from "../../gateway/core/clock.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { Link } from "../../gateway/southbound/link.ts";
import { deviceOf, driverOf } from "../drivers/modbus/bench.ts";
import { type PtyPair, ptyPair } from "../drivers/modbus/pty.ts";
import { Process, scratch, until } from "../support/processes.ts";
import { Random } from "../support/random.ts";

/**
 * Takes away a TCP server, a network and a serial port, gives them back, and looks whether polling resumes and whether
 * anything stays behind. MILLRACE_PULLS is how often, MILLRACE_SEED in which order.
 */
const PULLS = Number(env["MILLRACE_PULLS"] ?? 20);
const random = new Random(Number(env["MILLRACE_SEED"] ?? 1));
const RESUMES_MS = 20_000;
const folder = scratch("pull");
afterAll(() => folder.remove());

/** Short pauses, so that there are many rounds; the shape of the back-off is the usual one. */
const OPTIONS = {
  connectTimeoutMs: 2000,
  backoffMinMs: 50,
  backoffMaxMs: 200,
  watchdogMs: 1000,
  watchdogMaxMs: 2000,
  probeMinMs: 20,
  probeMaxMs: 100,
  probeShare: 1,
};
const STEPS = 2;

const clock: Clock = {
  bootId: "test",
  now: () => ({ wallMs: Date.now(), monoMs: performance.now(), clock: "synced" }),
};

interface Thing {
  readonly name: string;
  readonly transport: Readonly<Record<string, unknown>>;
  pull(): Promise<void>;
  giveBack(): Promise<void>;
  end(): Promise<void>;
}

function unit(): SimulatedUnit {
  const simulated = new SimulatedUnit(1);
  simulated.registers.set("holding", 0, [4711]);
  return simulated;
}

async function tcpServer(): Promise<Thing> {
  let server = new SimulatedTcpServer("127.0.0.1", 0, [unit()]);
  await server.start();
  const { port } = server.address;
  return {
    name: "tcp server",
    transport: { type: "tcp", host: "127.0.0.1", port },
    pull: () => server.stop(),
    async giveBack() {
      server = new SimulatedTcpServer("127.0.0.1", port, [unit()]);
      await server.start();
    },
    end: () => server.stop(),
  };
}

/** The same line under the same name, as udev does it for an adapter that comes back. */
async function serialPort(): Promise<Thing> {
  const path = join(folder.path, "by-id");
  let pair: PtyPair;
  let server: SimulatedRtuServer;
  const giveBack = async () => {
    pair = await ptyPair();
    server = new SimulatedRtuServer({ type: "rtu", path: pair.b, baud: 115_200, parity: "none", dataBits: 8 }, [
      unit(),
    ]);
    await server.start();
    symlinkSync(pair.a, path);
  };
  const pull = async () => {
    unlinkSync(path);
    await pair.stop();
    await server.stop();
  };
  await giveBack();
  return {
    name: "serial port",
    transport: { type: "rtu", path, baud: 115_200, parity: "none" },
    pull,
    giveBack,
    end: pull,
  };
}

const NEAR = "mrpull0";
const SPACE = "mrpull";

/** A cable between this network and another one: packets vanish while it is pulled. @throws where that is not permitted. */
async function network(): Promise<Thing> {
  const ip = (...words: string[]) => execFileSync("ip", words, { stdio: ["ignore", "ignore", "pipe"] });
  const socket = join(folder.path, "server.sock");
  const server = new SimulatedTcpServer("127.0.0.1", 0, [unit()]);
  ip("netns", "add", SPACE);
  let relay: Server | undefined;
  let process: Process | undefined;
  const end = async () => {
    await process?.stop();
    relay?.close();
    await server.stop();
    ip("netns", "del", SPACE);
  };
  try {
    ip("link", "add", NEAR, "type", "veth", "peer", "name", "mrpull1", "netns", SPACE);
    ip("addr", "add", "198.18.7.1/30", "dev", NEAR);
    ip("link", "set", NEAR, "up");
    ip("-n", SPACE, "addr", "add", "198.18.7.2/30", "dev", "mrpull1");
    ip("-n", SPACE, "link", "set", "mrpull1", "up");
    await server.start();
    relay = createServer((near) => {
      const far = createConnection(server.address.port, "127.0.0.1");
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        one.on("error", () => other.destroy());
        one.on("close", () => other.destroy());
        one.pipe(other);
      }
    }).listen(socket);
    const listen = "TCP-LISTEN:502,fork,reuseaddr";
    process = new Process("ip", ["netns", "exec", SPACE, "socat", listen, `UNIX-CONNECT:${socket}`]);
    await until(
      "socat listens",
      () => String(execFileSync("ip", ["netns", "exec", SPACE, "ss", "-ltn"])).includes(":502"),
      5000,
    );
  } catch (error) {
    await end();
    throw error;
  }
  return {
    name: "network",
    transport: { type: "tcp", host: "198.18.7.2", port: 502 },
    pull: async () => void ip("link", "set", NEAR, "down"),
    giveBack: async () => void ip("link", "set", NEAR, "up"),
    end,
  };
}

/** Polls a thing, and says since when it does. */
function poller(thing: Thing) {
  let good = 0;
  let attempts = 0;
  const device = deviceOf({ unit: 1 }, { a: { address: "holding:0", type: "uint16" } });
  const polled = { ...device, tags: device.tags.map((tag) => ({ ...tag, everyMs: 20 })) };
  const link = new Link({
    name: thing.name,
    driver() {
      attempts++;
      return driverOf({ transport: thing.transport, timeout: "200ms", connectTimeout: "1s" });
    },
    devices: [polled],
    clock,
    log: silentLogger,
    metrics: noMetrics,
    emit: ({ samples }) => {
      if (samples.every(({ quality, value }) => quality === "good" && value === 4711)) good++;
    },
    options: OPTIONS,
  });
  return { thing, link, good: () => good, attempts: () => attempts };
}

/** What the process holds open, by kind. */
function held(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

describe("pull and return", () => {
  it(`polling resumes within ${STEPS} steps, ${PULLS} times, and nothing stays behind`, async () => {
    const things = [await tcpServer(), await serialPort()];
    try {
      things.push(await network());
    } catch (error) {
      process.stderr.write(`no network is pulled: network namespaces are not permitted here (${error})\n`);
    }
    const polls = things.map(poller);
    const before = held();
    for (const { link } of polls) await link.start();
    for (const { good, thing } of polls) await until(`${thing.name} is polled`, () => good() > 2, RESUMES_MS);
    const steady = held();
    let heapMb = 0;
    const steps = new Map(things.map(({ name }) => [name, 0]));
    for (let round = 0; round < PULLS; round++) {
      const poll = polls[random.whole(0, polls.length - 1)];
      if (!poll) continue;
      await poll.thing.pull();
      await pause(random.whole(50, 800));
      const good = poll.good();
      await poll.thing.giveBack();
      const attempts = poll.attempts();
      await until(`${poll.thing.name} is polled again`, () => poll.good() > good + 1, RESUMES_MS);
      const { name } = poll.thing;
      steps.set(name, Math.max(steps.get(name) ?? 0, poll.attempts() - attempts));
      if (round === Math.floor(PULLS / 4)) heapMb = process.memoryUsage().heapUsed / 2 ** 20;
    }
    const grownMb = process.memoryUsage().heapUsed / 2 ** 20 - heapMb;
    const late = held();
    for (const { link } of polls) await link.stop();
    for (const thing of things) await thing.end();
    // The far sides, which are in this process too, end their connections in a later turn.
    const sockets = () => held()["TCPSocketWrap"] ?? 0;
    await until("all sockets are closed", () => sockets() <= (before["TCPSocketWrap"] ?? 0), 5000).catch(() => {});
    const after = held();
    process.stdout.write(
      `${PULLS} pulls, most attempts after the return: ${JSON.stringify(Object.fromEntries(steps))}, ` +
        `heap ${grownMb.toFixed(1)} MB more\n` +
        `held before ${JSON.stringify(before)}, steady ${JSON.stringify(steady)}, at the end ${JSON.stringify(late)}, stopped ${JSON.stringify(after)}\n`,
    );
    expect(Math.max(...steps.values())).toBeLessThanOrEqual(STEPS);
    expect(late["TCPSocketWrap"] ?? 0).toBeLessThanOrEqual(steady["TCPSocketWrap"] ?? 0);
    expect(after["Timeout"] ?? 0).toBeLessThanOrEqual(before["Timeout"] ?? 0);
    expect(after["TCPSocketWrap"] ?? 0).toBeLessThanOrEqual(before["TCPSocketWrap"] ?? 0);
    expect(grownMb).toBeLessThan(40);
  }, 3_600_000);
});
