import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { generate } from "mqtt-packet";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import {
  Attacker,
  addressOf,
  connectPacket,
  cpuSeconds,
  metric,
  publishPacket,
  residentMb,
  type Wants,
} from "../support/attack.ts";
import { freePort, type Process, root, scratch, startGateway, until } from "../support/processes.ts";

/**
 * The gateway's own process under attack by its local network. Each case prints its figures; meanwhile a legitimate client
 * connects from another address again and again, and the memory of the process is watched.
 */
const home = scratch("broker-attack");
const PASSWORD = "correct horse battery";
let gateway: Process;
let port: number;
let http: number;
let peakMb = 0;
let firstMb = 0;
const attackers: Attacker[] = [];

function hash(): string {
  const main = join(root, "dist/gateway/main.js");
  return execFileSync(process.execPath, [main, "passwd"], { input: `${PASSWORD}\n`, encoding: "utf8" }).trim();
}

beforeAll(async () => {
  port = await freePort();
  http = await freePort();
  const file = join(home.path, "millrace.yaml");
  writeFileSync(
    file,
    `gateway: { id: attacked, dataDir: ${home.path} }
broker:
  listeners: [ { port: ${port} } ]
  users:
    - { name: legit, password: "${hash()}", publish: [ "#" ], subscribe: [ "#" ] }
    - { name: victim, password: "${hash()}", publish: [ "x/#" ], subscribe: [ "x/#" ] }
capture: [ { topics: [ "captured/#" ] } ]
queue: { minFree: 16MiB }
http: { port: ${http} }
`,
  );
  gateway = await startGateway(file);
  firstMb = residentMb(pid());
});
afterEach(() => {
  for (const attacker of attackers.splice(0)) attacker.end();
});
afterAll(async () => {
  const code = await gateway.stop();
  expect(code).toBe(0);
  const bugs = gateway.lines.filter((line) => /uncaught|"level":(50|60)/.test(line));
  console.log(
    JSON.stringify({
      suite: "broker-attack",
      firstMb: round(firstMb),
      peakMb: round(peakMb),
      logLines: gateway.lines.length,
      bugs,
    }),
  );
  expect(bugs).toEqual([]);
  expect(peakMb).toBeLessThan(320);
  // 50 addresses and 13 kinds of attack, a line a minute for each.
  expect(gateway.lines.length).toBeLessThan(1000);
  home.remove();
});

const pid = () => gateway.child.pid ?? 0;
const round = (value: number) => Math.round(value * 10) / 10;
const metrics = async () => await (await fetch(`http://127.0.0.1:${http}/metrics`)).text();
const counter = async (name: string, labels = "") => metric(await metrics(), name, labels);

function attacker(index: number): Attacker {
  const made = new Attacker(port, addressOf(index));
  attackers.push(made);
  return made;
}
async function client(wants: Wants = {}): Promise<Attacker> {
  const made = new Attacker(port, wants.from ?? "127.0.0.1");
  attackers.push(made);
  made.send(connectPacket({ username: "legit", password: PASSWORD, ...wants }));
  await until(`a CONNACK for ${wants.clientId}`, () => made.code !== undefined || made.closed, 10_000);
  return made;
}
/** What the port costs meanwhile: the slowest connection of a legitimate client, memory and CPU. */
async function during<T>(
  body: () => Promise<T>,
): Promise<{ result: T; legitMs: number; growthMb: number; cpu: number }> {
  const before = residentMb(pid());
  const [cpu, started] = [cpuSeconds(pid()), performance.now()];
  let legitMs = 0;
  let mb = before;
  let isOver = false;
  const watch = (async () => {
    for (let n = 0; !isOver || n < 2; n++) {
      const began = performance.now();
      const legit = await client({ clientId: `legit-${n % 2}` });
      expect(legit.code).toBe(0);
      legitMs = Math.max(legitMs, performance.now() - began);
      legit.send({ cmd: "disconnect" });
      mb = Math.max(mb, residentMb(pid()));
      await until("the legitimate client left", () => legit.closed, 10_000);
      await pause(50);
    }
  })();
  try {
    const result = await body();
    const took = (performance.now() - started) / 1000;
    isOver = true;
    await watch;
    peakMb = Math.max(peakMb, mb);
    return { result, legitMs, growthMb: mb - before, cpu: (cpuSeconds(pid()) - cpu) / took };
  } finally {
    isOver = true;
    await watch.catch(() => {});
  }
}
function tell(fault: string, figures: object, around: { legitMs: number; growthMb: number; cpu: number }): void {
  const { legitMs, growthMb, cpu } = around;
  console.log(
    JSON.stringify({
      fault,
      ...figures,
      legitMs: Math.round(legitMs),
      growthMb: round(growthMb),
      cpuPercent: Math.round(cpu * 100),
    }),
  );
  expect(legitMs).toBeLessThan(1000);
}

it("F54: a thousand sockets with one byte each are closed within 10 s", async () => {
  const began = performance.now();
  const around = await during(async () => {
    const sockets = Array.from({ length: 1000 }, (_, n) => attacker(n % 50).bytes(Buffer.from([0x10])));
    const drip = setInterval(() => {
      for (const socket of sockets) if (!socket.closed) socket.bytes(Buffer.from([0x7f]));
    }, 5000);
    let last = began;
    for (const { socket } of sockets) socket.once("connect", () => (last = performance.now()));
    await until("all closed", () => sockets.every(({ closed }) => closed), 15_000);
    clearInterval(drip);
    return (performance.now() - last) / 1000;
  });
  tell("F54", { sockets: 1000, closedWithinS: round(around.result) }, around);
  expect(around.result).toBeLessThan(11);
});

it("F55: packets that announce 256 MB are cut at the header, before and after CONNECT", async () => {
  const around = await during(async () => {
    const fresh = Array.from({ length: 100 }, (_, n) => attacker(n % 5));
    for (const one of fresh) one.bytes(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f])).bytes(Buffer.alloc(64 * 1024));
    await until("all cut", () => fresh.every(({ closed }) => closed), 10_000);
    for (let n = 0; n < 100; n++) {
      const one = await client({ from: addressOf(n % 5), clientId: `big-${n}` });
      one.bytes(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])).bytes(Buffer.alloc(64 * 1024));
      await until("cut", () => one.closed, 10_000);
    }
  });
  tell("F55", { sockets: 200, cut: await counter("millrace_broker_cut_total", 'reason="too-large"') }, around);
  expect(around.growthMb).toBeLessThan(40);
});

it("F60: passwords are tried at most ten times a minute from one address, and nobody else is locked out", async () => {
  const checks = () => counter("millrace_broker_logins_total", 'result="bad-login"');
  const attack = async (addresses: number, attempts: number, first: number) => {
    for (let n = 0; n < attempts; n++) {
      const one = attacker(first + (n % addresses));
      one.send(
        connectPacket({ clientId: `guess-${n}`, username: n % 3 === 0 ? "legit" : `user-${n}`, password: `${n}` }),
      );
      await pause(10);
    }
  };
  const [before, logins] = [
    await checks(),
    (await counter("millrace_broker_logins_total")) + (await counter("millrace_broker_cut_total")),
  ];
  const one = await during(() => attack(1, 300, 0));
  const afterOne = await checks();
  tell("F60", { addresses: 1, attempts: 300, checked: afterOne - before }, one);
  expect(afterOne - before).toBeLessThanOrEqual(10);
  const many = await during(async () => {
    await attack(50, 500, 1);
    const began = performance.now();
    const victim = await client({ from: "127.9.9.9", clientId: "victim", username: "victim" });
    expect(victim.code).toBe(0);
    return performance.now() - began;
  });
  const checked = (await checks()) - afterOne;
  // Whoever went away is not waited for.
  for (const one of attackers) one.end();
  // Who was refused or cut before its turn is counted there.
  const told = async () =>
    (await counter("millrace_broker_logins_total")) + (await counter("millrace_broker_cut_total"));
  await until("every attempt is counted", async () => (await told()) - logins >= 800, 30_000);
  const victimMs = many.result;
  tell("F60", { addresses: 50, attempts: 500, checked, otherUserLoginMs: Math.round(victimMs) }, many);
  expect(victimMs).toBeLessThan(2000);
  expect(checked).toBeLessThanOrEqual(50 * 10);
});

it("F61: a flood of ten thousand connections is held to 20 an address and 500 in all", async () => {
  let most = 0;
  const began = performance.now();
  let openSeconds = 0;
  const around = await during(async () => {
    const flood: Attacker[] = [];
    for (let n = 0; n < 10_000; n++) {
      flood.push(attacker(n % 100));
      if (n % 100 === 99) await pause(1);
      if (n % 1000 === 999) most = Math.max(most, await counter("millrace_broker_connections"));
    }
    await until("all tried", () => flood.every(({ opened, closed }) => opened || closed), 20_000);
    openSeconds = (performance.now() - began) / 1000;
    await until("those beyond are closed", () => flood.filter(({ closed }) => !closed).length <= 500, 20_000);
    const perAddress = new Map<number, number>();
    for (const [n, { closed }] of flood.entries())
      if (!closed) perAddress.set(n % 100, (perAddress.get(n % 100) ?? 0) + 1);
    return { left: flood.filter(({ closed }) => !closed).length, perAddress: Math.max(...perAddress.values()) };
  });
  const { left, perAddress } = around.result;
  tell(
    "F61",
    { opened: 10_000, perSecond: Math.round(10_000 / openSeconds), most: Math.max(most, left), perAddress },
    around,
  );
  expect(most).toBeLessThanOrEqual(500);
  expect(perAddress).toBeLessThanOrEqual(20);
});

it("F62: a subscriber that does not read is dropped, and the others do not wait for it", async () => {
  const around = await during(async () => {
    const frozen = await client({ from: addressOf(0), clientId: "frozen" });
    const reader = await client({ from: addressOf(1), clientId: "reader" });
    for (const one of [frozen, reader])
      one.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "x/#", qos: 0 }] });
    await until("SUBACK", () => frozen.count("suback") + reader.count("suback") === 2, 5000);
    frozen.socket.pause();
    const publisher = await client({ from: addressOf(2), clientId: "publisher" });
    const latencies: number[] = [];
    const began = performance.now();
    const payload = Buffer.alloc(20_000);
    let dropped = 0;
    for (let n = 0; n < 2000 && dropped === 0; n++) {
      const [sent, before] = [performance.now(), reader.count("publish")];
      publisher.send(publishPacket(`x/${n % 5}`, payload, 1, (n % 60_000) + 1));
      await until("delivery", () => reader.count("publish") > before, 5000);
      latencies.push(performance.now() - sent);
      reader.packets.length = 0;
      publisher.packets.length = 0;
      if (n % 10 === 9 && (await counter("millrace_broker_cut_total", 'reason="slow"')) > 0)
        dropped = performance.now() - began;
    }
    latencies.sort((a, b) => a - b);
    return { droppedAfterS: dropped / 1000, p95: latencies[Math.floor(latencies.length * 0.95)] ?? 0 };
  });
  const { droppedAfterS, p95 } = around.result;
  tell("F62", { droppedAfterS: round(droppedAfterS), p95LatencyMs: Math.round(p95) }, around);
  expect(droppedAfterS).toBeGreaterThan(0);
  expect(droppedAfterS).toBeLessThan(60);
  expect(p95).toBeLessThan(100);
});

it("F63: a session whose client is away keeps a thousand messages and 1 MiB at most", async () => {
  const COUNT = Number(process.env["MILLRACE_ABSENT_MESSAGES"] ?? 20_000);
  const around = await during(async () => {
    const absent = await client({ from: addressOf(0), clientId: "absent", clean: false });
    absent.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "x/absent", qos: 1 }] });
    await until("SUBACK", () => absent.count("suback") === 1, 5000);
    absent.end();
    const publisher = await client({ from: addressOf(1), clientId: "publisher" });
    for (let n = 0; n < COUNT; n += 500) {
      publisher.packets.length = 0;
      publisher.send(...Array.from({ length: 500 }, (_, i) => publishPacket("x/absent", "y".repeat(200), 1, i + 1)));
      await until("PUBACK", () => publisher.count("puback") === 500, 30_000);
    }
    // The gauge is measured every 5 s.
    await until("the gauge", async () => (await counter("millrace_broker_session_messages")) > 0, 10_000);
    return {
      kept: await counter("millrace_broker_session_messages"),
      bytes: await counter("millrace_broker_session_bytes"),
    };
  });
  tell("F63", { published: COUNT, ...around.result }, around);
  expect(around.result.kept).toBeLessThanOrEqual(1000);
  expect(around.result.bytes).toBeLessThanOrEqual(1024 * 1024);
});

it("F64: QoS 2 messages that are not released are a hundred at most", async () => {
  const around = await during(async () => {
    let received = 0;
    for (let n = 0; n < 20; n++) {
      const one = await client({ from: addressOf(n), clientId: `half-${n}` });
      for (let id = 1; id < 65_535 && !one.closed; id += 50) {
        one.send(...Array.from({ length: 50 }, (_, i) => publishPacket("x/half", "y", 2, id + i)));
        await until("answered", () => one.closed || one.count("pubrec") >= id + 49, 10_000);
      }
      received = Math.max(received, one.count("pubrec"));
      expect(one.closed).toBe(true);
    }
    return received;
  });
  tell("F64", { clients: 20, mostInFlight: around.result }, around);
  expect(around.result).toBeLessThanOrEqual(100);
});

it("F65: names that mean something to JavaScript are names, and those that are no MQTT are refused", async () => {
  const refusals: Record<string, boolean> = {};
  const around = await during(async () => {
    for (const name of ["__proto__", "constructor", "hasOwnProperty", "toString"]) {
      const one = await client({ from: addressOf(0), clientId: name, clean: false });
      one.send(
        { cmd: "subscribe", messageId: 1, subscriptions: [{ topic: name, qos: 1 }] },
        publishPacket(name, name, 1, 2, true),
      );
      await until(`the echo of ${name}`, () => one.count("publish") > 0, 5000);
      one.send({ cmd: "unsubscribe", messageId: 3, unsubscriptions: [name] }, { cmd: "disconnect" });
    }
    const topics: Record<string, Buffer> = {
      nul: Buffer.from("x/\0"),
      "U+D800": Buffer.from([0x78, 0x2f, 0xed, 0xa0, 0x80]),
      overlong: Buffer.from([0x78, 0x2f, 0xc0, 0xaf]),
      latin1: Buffer.from([0x78, 0x2f, 0xe4]),
      "21 levels": Buffer.from("x/".repeat(20)),
      "101 levels": Buffer.from("x/".repeat(100)),
      "513 bytes": Buffer.from(`x/${"y".repeat(511)}`),
      "65535 bytes": Buffer.alloc(65_535, "y"),
      $SYS: Buffer.from("$SYS/x"),
      wildcard: Buffer.from("x/+"),
      empty: Buffer.alloc(0),
    };
    for (const [what, topic] of Object.entries(topics)) {
      const one = await client({ from: addressOf(1), clientId: `bad-${what}` });
      const bytes = generate(publishPacket("y".repeat(Math.max(1, topic.length)), "z", 1, 1));
      const at = bytes.indexOf("yy") < 0 ? 4 : bytes.indexOf("yy");
      topic.copy(bytes, at);
      if (topic.length === 0) bytes.writeUInt16BE(0, 2);
      one.bytes(bytes);
      await until(`${what} is answered`, () => one.closed || one.count("puback") > 0, 5000);
      refusals[what] = one.closed && one.count("puback") === 0;
    }
    for (const clientId of ["a\0b", "c".repeat(5000)]) {
      const one = await client({ from: addressOf(2), clientId });
      refusals[`client id of ${clientId.length}`] = one.code === 2;
    }
  });
  tell("F65", { refused: Object.values(refusals).filter(Boolean).length, of: Object.keys(refusals).length }, around);
  expect(Object.entries(refusals).filter(([, refused]) => !refused)).toEqual([]);
});

it("F66: a client id changes hands once a second at most", async () => {
  const around = await during(async () => {
    const began = performance.now();
    const all: Attacker[] = [];
    for (let n = 0; n < 35; n++) {
      const one = attacker(n % 4);
      all.push(one.send(connectPacket({ clientId: "contested", username: "legit", password: PASSWORD })));
      await pause(100);
    }
    await until("all answered", () => all.every(({ code, closed }) => code !== undefined || closed), 10_000);
    return { takeovers: all.filter(({ code }) => code === 0).length - 1, seconds: (performance.now() - began) / 1000 };
  });
  const { takeovers, seconds } = around.result;
  tell("F66", { attempts: 35, seconds: round(seconds), takeovers }, around);
  expect(takeovers).toBeGreaterThan(0);
  expect(takeovers).toBeLessThanOrEqual(Math.ceil(seconds));
});

it("F67: retained messages are ten thousand and 16 MiB at most", async () => {
  const TOPICS = Number(process.env["MILLRACE_RETAINED_TOPICS"] ?? 12_000);
  const around = await during(async () => {
    const one = await client({ from: addressOf(0), clientId: "hoarder" });
    for (let n = 0; n < TOPICS; n += 500) {
      one.packets.length = 0;
      one.send(...Array.from({ length: 500 }, (_, i) => publishPacket(`x/${n + i}`, "y", 1, i + 1, true)));
      await until("PUBACK", () => one.count("puback") === 500, 30_000);
    }
    const topics = async () => await counter("millrace_broker_retained_messages");
    await until("the gauge", async () => (await topics()) >= 10_000, 10_000);
    const kept = await topics();
    for (let n = 0; n < 100; n++) {
      one.packets.length = 0;
      one.send(publishPacket(`x/${n}`, Buffer.alloc(250_000, "y"), 1, 1, true));
      await until("PUBACK", () => one.count("puback") === 1, 10_000);
    }
    const tooLarge = await client({ from: addressOf(0), clientId: "larger" });
    tooLarge.send(publishPacket("x/large", Buffer.alloc(1024 * 1024), 1, 1, true));
    await until("1 MiB is cut", () => tooLarge.closed, 10_000);
    const status: unknown = await (await fetch(`http://127.0.0.1:${http}/status`)).json();
    const bytes = Number(/"retained":\{"messages":\d+,"bytes":(\d+)/.exec(JSON.stringify(status))?.[1]);
    return { kept, bytes };
  });
  tell("F67", { topics: TOPICS, kept: around.result.kept, bytes: around.result.bytes }, around);
  expect(around.result.kept).toBeLessThanOrEqual(10_000);
  expect(around.result.bytes).toBeLessThanOrEqual(16 * 1024 * 1024);
});
