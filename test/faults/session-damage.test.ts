import { closeSync, openSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { freePort, millrace, type Process, scratch, startGateway, until } from "../support/processes.ts";
import { Random, seedOf } from "../support/random.ts";
import { SessionPeer } from "../support/session-peer.ts";

/** SIGKILL, then damage to the file of the sessions: the gateway starts, says what is missing, delivers the rest, and goes on. */

const PLANS = 60;
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const home = scratch("session-damage");
let running: Process | undefined;

afterAll(async () => {
  await running?.stop("SIGKILL");
  home.remove();
});

const config = (dataDir: string, port: number, nowhere: number) => `gateway: { id: damage, dataDir: ${dataDir} }
queue: { minFree: 16MiB }
http: { port: 0 }
broker: { listeners: [ { port: ${port} } ] }
uplinks: [ { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${nowhere}" } ]
`;

function overwrite(path: string, at: number, bytes: Uint8Array): void {
  const file = openSync(path, "r+");
  writeSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
}

const DAMAGES: Readonly<Record<string, (path: string) => void>> = {
  truncated: (path) => truncateSync(path, random.whole(1, statSync(path).size - 1)),
  flipped: (path) => {
    for (let n = 0; n < 3; n++) {
      const at = random.whole(0, statSync(path).size - 1);
      const byte = readFileSync(path)[at] ?? 0;
      overwrite(path, at, Uint8Array.of(byte ^ (1 << random.whole(0, 7))));
    }
  },
  zeroed: (path) => overwrite(path, random.whole(0, statSync(path).size - 5000), new Uint8Array(4096)),
  emptied: (path) => truncateSync(path, 0),
  deleted: (path) => rmSync(path),
  "all zeros": (path) => overwrite(path, 0, new Uint8Array(statSync(path).size)),
};

interface Told {
  readonly lines: number;
  readonly before?: { readonly messages: number };
  readonly now: { readonly sessions: number; readonly messages: number };
}

describe("a damaged file of sessions", () => {
  it.each(Object.keys(DAMAGES))(`that is %s (seed ${random.seed})`, { timeout: 60_000 }, async (damage) => {
    const [port, nowhere] = [await freePort(), await freePort()];
    const dataDir = join(home.path, damage);
    const file = join(home.path, `${damage}.yaml`);
    writeFileSync(file, config(dataDir, port, nowhere));
    running = await startGateway(file);
    const [line, planner] = [new SessionPeer("line"), new SessionPeer("planner")];
    await line.connect(port);
    await line.subscribe("plans/#", 1);
    await line.drop();
    await planner.connect(port);
    let acknowledged = 0;
    const publish = (n: number) =>
      planner.publish("plans/a", `${n} ${"x".repeat(200)}`, 1, false, () => {
        acknowledged++;
      });
    for (let n = 1; n <= PLANS; n++) publish(n);
    await until("all acknowledged", () => acknowledged === PLANS, 10_000);
    await running.stop("SIGKILL");

    DAMAGES[damage]?.(join(dataDir, "state", "broker-sessions"));
    running = await startGateway(file);
    const said = running.lines.find((text) => text.includes("sessions of local clients were damaged"));
    const told = JSON.parse(said ?? "{}") as Told;
    const isKnown = (await line.connect(port)) === true;
    if (!isKnown) await line.subscribe("plans/#", 1);
    await planner.connect(port);
    publish(PLANS + 1);
    const numbers = () => line.got.map(({ text }) => Number.parseInt(text, 10));
    await until("what comes after it", () => numbers().includes(PLANS + 1), 10_000);
    expect(await running.stop("SIGTERM")).toBe(0);
    const exported = millrace(["queue", "export", "-c", file, "--stream", "events"]);
    expect(await exported.exited).toBe(0);
    const events = exported.lines.filter((text) => text.includes("damage/broker/sessions-damaged")).length;

    const delivered = numbers().length - 1;
    console.log(
      JSON.stringify({
        suite: "session-damage",
        damage,
        seed: random.seed,
        plans: PLANS,
        delivered,
        lostLines: told.lines,
        messagesBefore: told.before?.messages,
        messagesNow: told.now?.messages,
        sessionKnown: isKnown,
        events,
      }),
    );
    expect(numbers()).toEqual([...numbers()].sort((a, b) => a - b));
    expect(new Set(numbers()).size).toBe(numbers().length);
    expect(told.lines).toBeGreaterThan(0);
    // The mark is written beside the acknowledgements.
    expect(told.before?.messages).toBeGreaterThan(PLANS - 10);
    expect(told.now?.messages).toBe(delivered);
    expect(events).toBe(1);
    expect(delivered + told.lines).toBeGreaterThanOrEqual(PLANS);
  });
});
