import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, connect as dial, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { afterAll, beforeAll, expect, it } from "vitest";
import { addressOf, metric, residentMb } from "../support/attack.ts";
import { freePort, type Process, scratch, startGateway, until } from "../support/processes.ts";
import { Random, seedOf } from "../support/random.ts";

/**
 * Sessions of real clients are recorded, and sent again with changes: bits, bytes, lengths, order, pieces of other sessions.
 * MILLRACE_FUZZ_SECONDS makes it longer (an hour: 3600), MILLRACE_SEED repeats a run.
 */
const SECONDS = Number(process.env["MILLRACE_FUZZ_SECONDS"] ?? 12);
const AT_ONCE = 24;
const MOST_MB = 256;
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const home = scratch("broker-fuzz");
let gateway: Process;
let port: number;
let http: number;

beforeAll(async () => {
  port = await freePort();
  http = await freePort();
  const file = join(home.path, "millrace.yaml");
  writeFileSync(
    file,
    `gateway: { id: fuzzed, dataDir: ${home.path} }
broker: { listeners: [ { port: ${port} } ], sessions: { maxSessions: 200 } }
capture: [ { topics: [ "captured/#" ] } ]
queue: { minFree: 16MiB, maxBytes: 64MiB, segment: 4MiB, eventsPolicy: drop-oldest }
http: { port: ${http} }
`,
  );
  gateway = await startGateway(file);
});
afterAll(async () => {
  await gateway.stop();
  home.remove();
});

/** What clients of a library and their sessions send, chunk by chunk. */
async function recorded(): Promise<Buffer[]> {
  const sessions: Buffer[][] = [];
  const sockets: Socket[] = [];
  const relay = createServer((client) => {
    const chunks: Buffer[] = [];
    sessions.push(chunks);
    const broker = dial(port, "127.0.0.1");
    client.on("data", (chunk) => chunks.push(chunk));
    client.pipe(broker).pipe(client);
    for (const socket of [client, broker]) sockets.push(socket.on("error", () => {}));
  });
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  const address = relay.address();
  const at = typeof address === "object" && address !== null ? address.port : 0;
  const session = async (options: IClientOptions, body: (client: MqttClient) => Promise<unknown>) => {
    const client = await connectAsync(`mqtt://127.0.0.1:${at}`, { reconnectPeriod: 0, ...options });
    await body(client);
    await client.endAsync();
  };
  const will = { topic: "fuzz/gone", payload: Buffer.from("gone"), qos: 2, retain: true } as const;
  for (const protocolVersion of [4, 3] as const) {
    const protocolId = protocolVersion === 4 ? "MQTT" : "MQIsdp";
    await session({ protocolId, protocolVersion, clientId: "rec-1", will }, async (client) => {
      await client.subscribeAsync({ "fuzz/+/x": { qos: 0 }, "fuzz/#": { qos: 2 }, "+/other": { qos: 1 } });
      for (const qos of [0, 1, 2] as const) {
        for (const topic of ["fuzz/a/x", "captured/a", "$SYS/a"]) {
          if (!topic.startsWith("$")) await client.publishAsync(topic, `payload ${qos}`, { qos, retain: qos === 1 });
        }
      }
      await client.publishAsync("fuzz/large", Buffer.alloc(5000, "y"), { qos: 1 });
      await client.publishAsync("fuzz/a/x", "", { retain: true });
      await client.unsubscribeAsync(["fuzz/#", "never/there"]);
    });
    await session({ protocolId, protocolVersion, clientId: "rec-2", clean: false, keepalive: 1 }, async (client) => {
      await client.subscribeAsync("fuzz/kept/#", { qos: 2 });
      const heard = new Promise((resolve) => client.once("message", resolve));
      await client.publishAsync("fuzz/kept/1", "kept", { qos: 2 });
      await heard;
    });
    await session({ protocolId, protocolVersion, clientId: "rec-3", username: "u", password: "p" }, (client) =>
      client.publishAsync("captured/b", JSON.stringify({ value: 1 }), { qos: 2 }),
    );
  }
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => {
    relay.close(resolve);
  });
  return sessions.map((chunks) => Buffer.concat(chunks));
}

const EDGES = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x10, 0x30, 0x32, 0x34, 0x3d, 0x62, 0x82, 0xa2, 0xc0, 0xe0, 0xed, 0xf0];
const pick = <T>(list: readonly T[]): T | undefined => list[random.whole(0, list.length - 1)];
const splice = (bytes: Buffer, at: number, remove: number, put: Buffer) =>
  Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(Math.min(bytes.length, at + remove))]);

/** One change at a place. */
const CHANGES: readonly ((bytes: Buffer, at: number, corpus: readonly Buffer[]) => Buffer)[] = [
  (bytes, at) => splice(bytes, at, 1, Buffer.from([(bytes[at] ?? 0) ^ (1 << random.whole(0, 7))])),
  (bytes, at) => splice(bytes, at, 1, Buffer.from([pick(EDGES) ?? 0])),
  (bytes, at) => splice(bytes, at, 0, random.bytes(random.whole(1, 8))),
  (bytes, at) => splice(bytes, at, random.whole(1, 20), Buffer.alloc(0)),
  (bytes, at) => splice(bytes, at, 2, Buffer.from([random.whole(0, 255), random.whole(0, 255)])),
  (bytes, at) => splice(bytes, at, 0, bytes.subarray(at, at + random.whole(1, 200))),
  (bytes, at, corpus) => {
    const other = pick(corpus) ?? bytes;
    const from = random.whole(0, other.length - 1);
    return splice(bytes, at, random.whole(0, 30), other.subarray(from, from + random.whole(1, 300)));
  },
  (bytes, at) => splice(bytes, at, 1, Buffer.from([0xff, 0xff, 0xff, 0x7f])),
  (bytes, at) => bytes.subarray(0, at),
];

function changed(corpus: readonly Buffer[]): Buffer {
  let bytes = pick(corpus) ?? Buffer.alloc(1);
  // Most changes behind CONNECT, or hardly anything would get past it.
  const least = random.chance(0.8) ? Math.min(bytes.length - 1, 2 + (bytes[1] ?? 0)) : 0;
  for (let count = random.whole(1, 6); count > 0 && bytes.length > least; count--) {
    bytes = (pick(CHANGES) ?? ((same) => same))(bytes, random.whole(least, bytes.length - 1), corpus);
  }
  return bytes;
}

/** What the gateway has at the end, in MB: where memory goes is told by which of them grows with the length of the run. */
async function memoryByKind(): Promise<Record<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${http}/metrics`)).text();
  const mb = (name: string) => Math.round(metric(text, name) / 1048576);
  return {
    resident: mb("process_resident_memory_bytes"),
    heap: mb("nodejs_heap_size_total_bytes"),
    used: mb("nodejs_heap_size_used_bytes"),
    external: mb("nodejs_external_memory_bytes"),
  };
}

let answered = 0;
/** Sends it in pieces, and ends the connection in one way or the other. */
async function attack(bytes: Buffer, from: string): Promise<void> {
  const socket = dial({ port, host: "127.0.0.1", localAddress: from });
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.on("error", () => {}).once("data", () => answered++);
  socket.resume();
  let at = 0;
  for (let pieces = random.whole(1, 3); pieces > 0; pieces--) {
    const to = pieces === 1 ? bytes.length : random.whole(at, bytes.length);
    if (!socket.destroyed) socket.write(bytes.subarray(at, to));
    at = to;
    if (pieces > 1) await pause(random.whole(0, 2));
  }
  if (random.chance(0.3)) await Promise.race([closed, pause(random.whole(1, 20))]);
  if (random.chance(0.2)) socket.resetAndDestroy();
  else socket.end();
  const timer = setTimeout(() => socket.destroy(), 1000);
  await closed;
  clearTimeout(timer);
}

it(
  `survives ${SECONDS} s of changed sessions, and serves the others meanwhile`,
  async () => {
    const corpus = (await recorded()).filter(({ length }) => length > 0);
    const firstMb = residentMb(gateway.child.pid ?? 0);
    const deadline = performance.now() + SECONDS * 1000;
    const isOver = () => performance.now() > deadline || !gateway.running;
    let sessions = 0;
    let bytes = 0;
    let peakMb = firstMb;
    const attackers = Array.from({ length: AT_ONCE }, async (_, index) => {
      while (!isOver()) {
        const made = changed(corpus);
        sessions += 1;
        bytes += made.length;
        await attack(made, addressOf(index));
      }
    });
    let rounds = 0;
    let slowestMs = 0;
    const legit = (async () => {
      while (!isOver()) {
        const began = performance.now();
        const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { clientId: "legit", reconnectPeriod: 0 });
        await client.publishAsync("captured/legit", `${rounds}`, { qos: 1 });
        slowestMs = Math.max(slowestMs, performance.now() - began);
        await client.endAsync();
        rounds += 1;
        peakMb = Math.max(peakMb, residentMb(gateway.child.pid ?? 0));
        await pause(20);
      }
    })();
    await Promise.all([legit, ...attackers]);
    const bugs = gateway.lines.filter((line) => /uncaught|"level":(50|60)/.test(line));
    const kinds = await memoryByKind();
    const figures = {
      suite: "broker-fuzz",
      seed: random.seed,
      seconds: SECONDS,
      corpus: corpus.length,
      sessions,
      bytes,
    };
    const outcome = {
      answered,
      rounds,
      slowestMs: Math.round(slowestMs),
      firstMb: Math.round(firstMb),
      peakMb: Math.round(peakMb),
      lastMb: kinds,
    };
    console.log(JSON.stringify({ ...figures, ...outcome, running: gateway.running, bugs: bugs.slice(0, 3) }));
    expect(gateway.running).toBe(true);
    expect(bugs).toEqual([]);
    expect(answered).toBeGreaterThan(sessions / 4);
    expect(slowestMs).toBeLessThan(1000);
    expect(peakMb).toBeLessThan(MOST_MB);
    await until(
      "no connection is left",
      async () =>
        metric(await (await fetch(`http://127.0.0.1:${http}/metrics`)).text(), "millrace_broker_connections") === 0,
      15_000,
    );
  },
  (SECONDS + 60) * 1000,
);
