import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectMqtt, type MqttClient } from "mqtt";
import { afterAll, describe, expect, it } from "vitest";
import { CountingPlc } from "../support/counting-plc.ts";
import { freePort, millrace, type Process, scratch, startGateway, until } from "../support/processes.ts";
import { Random, seedOf } from "../support/random.ts";

/**
 * SIGKILL at random moments between the receipt of a command, its write, the read-back and the result. The client sends
 * what was not acknowledged again, as an MQTT client does. MILLRACE_COMMANDS sets how many (default 120; long run 2,000).
 */
const COMMANDS = Number(process.env["MILLRACE_COMMANDS"] ?? 120);
const PER_LIFE = 10;
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const home = scratch("commands");
const plc = new CountingPlc();
const dataDir = join(home.path, "data");

afterAll(async () => {
  await plc.stop();
  home.remove();
});

const config = (local: number, nowhere: number, device: number) => `gateway: { id: kill, dataDir: ${dataDir} }
queue: { minFree: 16MiB }
http: { port: 0 }
broker: { listeners: [ { port: ${local} } ] }
links:
  - name: line
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${device} }
    devices:
      - name: plc
        unit: 1
        tags: [ { name: order, address: "holding:0", type: uint32, every: 200ms, writable: { min: 0, max: 100000 } } ]
uplinks: [ { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${nowhere}" } ]
`;

type Kind = "good" | "expired" | "retained";
const kindOf = (n: number): Kind => (n % 10 === 3 ? "expired" : n % 10 === 7 ? "retained" : "good");
const idOf = (n: number) => `order-${n}`;

/** Publishes those that are not acknowledged yet, in order; resolves when the connection is gone. */
async function send(client: MqttClient, open: Set<number>): Promise<void> {
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  client.on("connect", () => {
    for (const n of open) {
      const expires = kindOf(n) === "expired" ? Date.now() - 1000 : Date.now() + 3_600_000;
      const payload = JSON.stringify({ id: idOf(n), expires, values: { order: n } });
      client.publish("cmd/plc/write", payload, { qos: 1, retain: kindOf(n) === "retained" }, (error) => {
        if (!error) open.delete(n);
      });
    }
  });
  await closed;
}

/** Resolves when no command was carried out for a while. */
async function quiet(gateway: Process): Promise<void> {
  const done = () => gateway.lines.filter((line) => line.includes('"audit":"command"')).length;
  for (let seen = -1; seen !== done(); ) {
    seen = done();
    await pause(1000);
  }
}

interface Answer {
  readonly id: string;
  readonly ok: boolean;
  readonly unknown?: boolean;
  readonly error?: string;
  readonly values?: { readonly order?: { readonly readBack?: number; readonly error?: string } };
}

/** Whether the ledger says that the result is in the queue. */
function isTold(n: number): boolean {
  return readFileSync(join(dataDir, "state", "commands"), "utf8").includes(`"at":"told","id":"${idOf(n)}",`);
}

/** Every result in the queue, one by one. */
async function answers(file: string): Promise<Answer[]> {
  const exported = millrace(["queue", "export", "-c", file, "--stream", "events"]);
  expect(await exported.exited).toBe(0);
  return exported.lines.flatMap((line) => {
    const record = JSON.parse(line) as { topic?: string; text?: string };
    return record.topic === "cmd/plc/result" ? [JSON.parse(record.text ?? "") as Answer] : [];
  });
}

describe("SIGKILL while commands are carried out", () => {
  it(`writes none of ${COMMANDS} twice and answers each once (seed ${random.seed})`, {
    timeout: COMMANDS * 600 + 60_000,
  }, async () => {
    const [device, local, nowhere] = [await plc.listen(), await freePort(), await freePort()];
    const file = join(home.path, "millrace.yaml");
    writeFileSync(file, config(local, nowhere, device));
    plc.delayMs = () => random.whole(0, 15);
    const open = new Set<number>();
    let next = 1;
    let kills = 0;
    while (next <= COMMANDS || open.size > 0) {
      const last = next > COMMANDS;
      const gateway = await startGateway(file);
      for (let n = 0; n < PER_LIFE && next <= COMMANDS; n++, next++) open.add(next);
      const client = connectMqtt(`mqtt://127.0.0.1:${local}`, {
        reconnectPeriod: 0,
        protocolVersion: 4,
        clientId: "planner",
      });
      client.on("error", () => {});
      const sent = send(client, open);
      if (last) await until("all acknowledged", () => open.size === 0, 30_000);
      // Now and then it may catch up: a device refuses what is too much.
      else if (kills % 4 === 3) await quiet(gateway);
      else await pause(random.whole(5, 350));
      await gateway.stop("SIGKILL");
      kills++;
      client.end(true);
      await sent;
    }
    // The last life finishes what is open, and stops as it should.
    const gateway = await startGateway(file);
    const numbers = Array.from({ length: COMMANDS }, (_, n) => n + 1);
    await until("each id is told", () => numbers.every(isTold), 60_000).catch(() => {});
    expect(await gateway.stop("SIGTERM")).toBe(0);

    const all = await answers(file);
    const byId = grouped(all);
    const twice = numbers.filter((n) => (plc.written.get(n) ?? 0) > 1);
    const forbidden = numbers.filter((n) => kindOf(n) !== "good" && plc.written.has(n));
    const unanswered = numbers.filter((n) => !byId.has(idOf(n)));
    const answeredTwice = numbers.filter((n) => (byId.get(idOf(n))?.length ?? 0) > 1);
    const wrong = numbers.filter((n) => {
      const answer = byId.get(idOf(n))?.[0];
      return answer !== undefined && answer.unknown !== true && answer.ok !== plc.written.has(n);
    });
    const unknown = all.filter((answer) => answer.unknown === true);
    const notReadBack = unknown.filter(({ values }) => values?.order?.readBack === undefined);
    console.log(
      JSON.stringify({
        suite: "command-kills",
        seed: random.seed,
        commands: COMMANDS,
        kills,
        written: plc.written.size,
        ok: all.filter(({ ok }) => ok).length,
        unknown: unknown.length,
        refused: all.length - unknown.length - all.filter(({ ok }) => ok).length,
        twice: twice.length,
        forbidden: forbidden.length,
        unanswered: unanswered.length,
        answeredTwice: answeredTwice.length,
        wrong: wrong.length,
        notReadBack: notReadBack.length,
      }),
    );
    expect({ twice, forbidden, unanswered, answeredTwice, wrong, notReadBack }).toEqual({
      twice: [],
      forbidden: [],
      unanswered: [],
      answeredTwice: [],
      wrong: [],
      notReadBack: [],
    });
  });
});

function grouped(all: readonly Answer[]): Map<string, Answer[]> {
  const found = new Map<string, Answer[]>();
  for (const answer of all) found.set(answer.id, [...(found.get(answer.id) ?? []), answer]);
  return found;
}
