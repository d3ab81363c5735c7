import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { freePort, type Process, scratch, startGateway, until } from "../support/processes.ts";
import { Random, seedOf } from "../support/random.ts";
import { SessionPeer } from "../support/session-peer.ts";

/**
 * SIGKILL at random moments while plans are published for lines that are offline, and while they fetch them. A plan that was
 * acknowledged to the planner is lost to no line, comes in order, and with QoS 2 once. MILLRACE_SESSION_KILLS sets how often the
 * gateway is killed (default 30; long run 300).
 */
const CYCLES = Number(process.env["MILLRACE_SESSION_KILLS"] ?? 20);
const LINES = 4;
const WINDOW = 20;
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const home = scratch("sessions");
let running: Process | undefined;

afterAll(async () => {
  await running?.stop("SIGKILL");
  home.remove();
});

const config = (port: number, nowhere: number) => `gateway: { id: kill, dataDir: ${join(home.path, "data")} }
queue: { minFree: 16MiB }
http: { port: 0 }
broker:
  listeners: [ { port: ${port} } ]
  sessions: { maxMessages: 60000, maxBytes: 64MiB }
capture: [ { topics: ["plans/line-1/#"] } ]
uplinks: [ { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:${nowhere}" } ]
`;

/** The even lines take their plans with QoS 1, the odd ones with QoS 2. */
const qosOf = (line: number): 1 | 2 => (line % 2 === 0 ? 1 : 2);

class Planner {
  readonly peer = new SessionPeer("planner");
  readonly lines = Array.from({ length: LINES }, () => ({ published: 0, acknowledged: new Set<number>(), state: 0 }));

  publish(): void {
    const number = random.whole(0, LINES - 1);
    const line = this.lines[number];
    if (!line) return;
    if (random.chance(0.2)) {
      line.state++;
      this.peer.publish(`state/line-${number}`, String(line.state), qosOf(random.whole(0, 1)), true, () => {});
      return;
    }
    line.published++;
    const plan = line.published;
    const body = JSON.stringify({ plan, filler: "x".repeat(random.whole(0, 400)) });
    const qos = qosOf(number);
    this.peer.publish(`plans/line-${number}/order`, body, qos, false, () => line.acknowledged.add(plan));
  }
}

/** The plans a line got, one by one as they came. */
function plansOf(peer: SessionPeer | undefined): number[] {
  return (peer?.got ?? []).map(({ text }) => (JSON.parse(text) as { plan: number }).plan);
}

function verdictOf(planned: Planner["lines"][number], peer: SessionPeer | undefined) {
  const plans = plansOf(peer);
  const seen = [...new Set(plans)];
  const lost = [...planned.acknowledged].filter((plan) => !seen.includes(plan));
  let last = 0;
  const disordered = seen.filter((plan) => {
    const isLate = plan < last;
    last = plan;
    return isLate;
  });
  return { lost: lost.length, disordered: disordered.length, doubled: plans.length - seen.length };
}

describe("SIGKILL while plans wait for lines that are offline", () => {
  it(`loses none in ${CYCLES} cycles (seed ${random.seed})`, { timeout: CYCLES * 5_000 + 120_000 }, async () => {
    const port = await freePort();
    const file = join(home.path, "millrace.yaml");
    writeFileSync(file, config(port, await freePort()));
    const lines = Array.from({ length: LINES }, (_, line) => new SessionPeer(`line-${line}`));
    const planner = new Planner();
    let sessionsLost = 0;

    running = await startGateway(file);
    for (const [line, peer] of lines.entries()) {
      await peer.connect(port);
      await peer.subscribe(`plans/line-${line}/#`, qosOf(line));
      await peer.drop();
    }
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      await planner.peer.connect(port);
      const gateway = running;
      let killed = false;
      const publishing = (async () => {
        while (!killed) {
          while (planner.peer.unacknowledged < WINDOW) planner.publish();
          await pause(1);
        }
      })();
      const fetching = lines.map(async (peer) => {
        if (!random.chance(0.3)) return;
        await pause(random.whole(0, 100));
        if ((await peer.connect(port)) === false) sessionsLost++;
        await pause(random.whole(0, 60));
        await peer.drop();
      });
      await pause(random.whole(20, 300));
      await gateway.stop("SIGKILL");
      killed = true;
      await publishing;
      await Promise.all(fetching);
      await Promise.all(lines.map((peer) => peer.drop()));
      running = await startGateway(file);
    }
    await planner.peer.connect(port);
    await until("all acknowledged", () => planner.peer.unacknowledged === 0, 30_000);
    for (const [line, peer] of lines.entries()) {
      if ((await peer.connect(port)) !== true) sessionsLost++;
      const published = planner.lines[line]?.published ?? 0;
      await until(`line ${line} has all`, () => new Set(plansOf(peer)).size >= published, 20_000).catch(() => {});
    }
    const screen = new SessionPeer("screen");
    await screen.connect(port);
    await screen.subscribe("state/#", 1);
    await until(
      "retained state",
      () => screen.got.length >= planner.lines.filter(({ state }) => state > 0).length,
      5_000,
    ).catch(() => {});
    expect(await running.stop("SIGTERM")).toBe(0);

    const verdicts = planner.lines.map((planned, line) => verdictOf(planned, lines[line]));
    const sum = (key: "lost" | "disordered" | "doubled", qos?: 1 | 2) =>
      verdicts.reduce((all, verdict, line) => all + (qos === undefined || qosOf(line) === qos ? verdict[key] : 0), 0);
    const retained = new Map(screen.got.map(({ topic, text }) => [topic, Number(text)]));
    const stale = planner.lines.filter(({ state }, line) => state !== (retained.get(`state/line-${line}`) ?? 0));
    const figures = {
      lost: sum("lost"),
      disordered: sum("disordered"),
      duplicatesQos2: sum("doubled", 2),
      sessionsLost,
      staleRetained: stale.length,
    };
    console.log(
      JSON.stringify({
        suite: "session-kills",
        seed: random.seed,
        cycles: CYCLES,
        published: planner.lines.reduce((all, { published }) => all + published, 0),
        acknowledged: planner.lines.reduce((all, { acknowledged }) => all + acknowledged.size, 0),
        ...figures,
        duplicatesQos1: sum("doubled", 1),
        retained: retained.size,
      }),
    );
    expect(figures).toEqual({ lost: 0, disordered: 0, duplicatesQos2: 0, sessionsLost: 0, staleRetained: 0 });
  });
});
