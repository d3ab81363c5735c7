import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { bytesAxis, timeAxis } from "../../gateway/cli/plan/axis.ts";
import { compare } from "../../gateway/cli/plan/live.ts";
import { parseMetrics, sumOf } from "../../gateway/cli/plan/metrics-text.ts";
import type { Plan } from "../../gateway/cli/plan/model.ts";
import { rateOption } from "../../gateway/cli/plan/options.ts";
import { shareSent } from "../../gateway/cli/plan/rates.ts";
import { gathered } from "../../gateway/cli/plan/sizes.ts";
import { runPlan } from "../../gateway/cli/plan.ts";
import { statusReport } from "../../gateway/cli/status/report.ts";
import { planTools } from "../../gateway/plan-tools.ts";
import { testIo } from "./io.ts";

const LINE = `
gateway: { id: press-shop, dataDir: ./data }
queue: { maxBytes: 64MiB, segment: 1MiB, minFree: 0B }
capture: [{ topics: ["hand/#"] }]
links:
  - name: line
    driver: modbus
    transport: { type: rtu, path: /dev/null, baud: 9600 }
    devices:
      - name: meter
        unit: 1
        topic: plant/meter
        tags:
          - { name: a, address: "holding:0", type: float32, every: 1s }
          - { name: b, address: "holding:2", type: uint16, every: 1s, deadband: 0 }
          - { name: run, address: "coil:0", type: bool, every: 2s, stream: events, deadband: 0 }
uplinks:
  - { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:1", select: ["#"], maxRate: { messages: 10 } }
  - { name: lake, type: mqtt, url: "mqtt://127.0.0.1:2", select: ["plant/#"], batch: { count: 100, linger: 10s } }
`;

async function folderWith(yaml = LINE) {
  const folder = await mkdtemp(join(tmpdir(), "millrace-plan-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "millrace.yaml"), yaml);
  return folder;
}

async function plan(args: string[], yaml = LINE) {
  const folder = await folderWith(yaml);
  const io = testIo({ cwd: folder });
  // Without a round trip there is no queue to simulate.
  const code = await runPlan(["--free", "10GiB", "--rtt", "0ms", ...args], io, { tools: planTools() });
  return { code, io, folder, json: (): Plan => JSON.parse(io.stdout()) };
}

describe("millrace plan", () => {
  it("counts records, messages and their bytes by the gateway's own formats", async () => {
    const { code, json } = await plan(["--json", "--outage", "1h"]);
    expect(code).toBe(0);
    const { streams, uplinks, lines, flows } = json();
    expect(streams.telemetry.recordsPerSecond).toBe(1);
    expect(streams.events.recordsPerSecond).toBe(0.5);
    const [cloud, lake] = uplinks;
    expect(cloud?.live.messages).toBe(1);
    expect(cloud?.live.bytes).toBeGreaterThan(100);
    // Ten or eleven seconds of one record a second, and five or six of the other.
    expect(lake?.live.messages).toBeLessThan(0.11);
    expect(lake?.drain.messages).toBeCloseTo(0.01, 3);
    expect(flows.every(({ storedBytes, diskBytes }) => storedBytes > 24 && diskBytes > storedBytes)).toBe(true);
    expect(lines[0]?.percent).toBeGreaterThan(1);
  });

  it("says how long an outage takes to drain at the limit of the uplink", async () => {
    const { json } = await plan(["--json", "--outage", "1h"]);
    const { outage, uplinks } = json();
    expect(outage.owed[0]).toBeCloseTo(5400, 0);
    expect(uplinks[0]).toMatchObject({ limitedBy: "maxRate.messages", drainPerSecond: 8.5 });
    expect(outage.drainSeconds[0]).toBeCloseTo(5400 / 8.5, 0);
  });

  it("takes a rate that was measured, changes that are seldom, and captured messages", async () => {
    expect((await plan(["--json", "--rate", "90/m"])).json().streams.telemetry.recordsPerSecond).toBeCloseTo(1, 9);
    const seldom = (await plan(["--json", "--change", "10%"])).json();
    expect(seldom.streams.events.recordsPerSecond).toBeCloseTo(0.05, 9);
    // The other tag of that scan has no deadband.
    expect(seldom.streams.telemetry.recordsPerSecond).toBe(1);
    const captured = (await plan(["--json", "--captured", "20/s", "--size", "1KiB"])).json();
    expect(captured.streams.events.recordsPerSecond).toBeCloseTo(20.5, 9);
    expect(captured.streams.events.storedPerSecond).toBeGreaterThan(20 * 1024);
  });

  it("prints all of it, and what goes first in a longer outage", async () => {
    const { io } = await plan(["--outage", "2h", "--rtt", "50ms"]);
    const text = io.stdout();
    for (const words of [
      "WHAT COMES IN",
      "BUS LOAD",
      "MESSAGES A DAY",
      "with every uplink away",
      "DRAINED AFTER",
      "Nothing is lost in 2 h. What would go first in a longer one:",
      "1. after",
      "the oldest telemetry is dropped and told as a gap",
      "Card: the queue writes",
      "ERLANG C",
      "Funnel P(n) = 1 - (1 - P(n-1))^k",
      "Assumed",
    ])
      expect(text).toContain(words);
    expect(text).not.toMatch(/NaN|undefined|Infinity/);
  });

  it("draws the backlog with the limit, axes and units", async () => {
    const { io, folder } = await plan(["--outage", "300d", "--svg", "out.svg"]);
    expect(io.stderr()).toContain("out.svg");
    const svg = await readFile(join(folder, "out.svg"), "utf8");
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    for (const words of [
      "buffer limit",
      "backlog (MiB)",
      "(d)",
      "owed to cloud",
      "owed to lake",
      "prefers-color-scheme",
    ])
      expect(svg).toContain(words);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it("slows down a line that is asked for more than it can", async () => {
    const { json } = await plan(["--json"], LINE.replaceAll("every: 1s", "every: 20ms"));
    const [line] = json().lines;
    expect(line?.askedPercent).toBeGreaterThan(150);
    expect(line?.percent).toBeCloseTo(100, 0);
    expect(json().streams.telemetry.recordsPerSecond).toBeLessThan(35);
    // Asks for little, and gets it.
    expect(json().streams.events.recordsPerSecond).toBe(0.5);
  });

  it("counts what speaks unasked at a rate that was measured, and says so without one", async () => {
    const scanner = `
gateway: { id: packing, dataDir: ./data }
links:
  - name: scanner
    driver: serial
    transport: { type: tcp, host: 127.0.0.1, port: 4001 }
    framing: { type: delimiter, delimiter: "\\r" }
    devices:
      - { name: gate, topic: plant/gate, tags: [{ name: code, type: string, stream: events }] }
uplinks:
  - { name: cloud, type: mqtt, url: "mqtt://127.0.0.1:1", select: ["#"] }
`;
    const { code, io } = await plan([], scanner);
    expect(code).toBe(0);
    expect(io.stdout()).toContain("gate speaks unasked");
    const { streams, uplinks } = (await plan(["--json", "--rate", "6/m"], scanner)).json();
    expect(streams.telemetry.recordsPerSecond + streams.events.recordsPerSecond).toBeCloseTo(0.1, 9);
    expect(uplinks[0]?.live.bytes).toBeGreaterThan(100);
  });

  it.each([
    [["--outage", "soon"], "is not a duration"],
    [["--rate", "fast"], "is not a rate"],
    [["--change", "120%"], "is not a percentage"],
    [["--senders", "0"], "is not a whole number"],
    [["--pass", "2"], "is not a probability"],
    [["--size", "12"], "is not a size"],
    [["--url", "http://127.0.0.1:1"], "--url needs --live"],
    [["one.yaml", "two.yaml"], "one configuration at a time"],
  ])("refuses %j and says why", async (args, words) => {
    const { code, io } = await plan(args);
    expect(code).toBe(64);
    expect(io.stderr()).toContain(words);
  });

  it("refuses captured messages where nothing is captured, and a file that is wrong or not there", async () => {
    const without = await plan(["--captured", "1/s"], LINE.replace(/capture.*\n/, ""));
    expect(without.code).toBe(78);
    expect(without.io.stderr()).toMatch(
      /millrace\.yaml: it captures nothing; add .*capture: \[.*or leave --captured out/,
    );
    expect((await plan([], "gateway: {}")).code).toBe(78);
    expect((await plan(["-c", "elsewhere.yaml"])).code).toBe(66);
  });
});

describe("millrace plan --live", () => {
  it("is exit 69 where no gateway answers, and where something else does", async () => {
    const none = await plan(["--live", "--url", "http://127.0.0.1:1", "--for", "1s"]);
    expect(none.code).toBe(69);
    expect(none.io.stderr()).toContain("no gateway answers at http://127.0.0.1:1");
    const server = createServer((_request, response) => response.end("{}")).listen(0, "127.0.0.1");
    onTestFinished(() => {
      server.close();
    });
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const other = await plan(["--live", "--url", `http://127.0.0.1:${port}`, "--for", "1s"]);
    expect(other.code).toBe(69);
    expect(other.io.stderr()).toContain("is not a millrace gateway");
  });

  it("puts what was measured between two looks beside the plan", async () => {
    const { json } = await plan(["--json"]);
    const look = (atMs: number, seq: number, depth: number, text: string) => {
      const debt = { depth, bytes: 0, lastTaken: 0, lastAcked: 0 };
      const none = { ...debt, depth: 0 };
      const held = (nextSeq: number) => ({ segments: 1, bytes: 1, nextSeq });
      const queue = {
        bytes: 1,
        maxBytes: 2,
        dropped: 0,
        quarantined: 0,
        uplinks: [{ name: "cloud", streams: { events: none, telemetry: debt }, gapsPending: 0 }],
        streams: { events: held(1), telemetry: held(seq) },
      };
      const status = { gateway: "press-shop", health: { ok: true, reasons: [] }, queue };
      return { atMs, status: statusReport.parse(status), counters: parseMetrics(text) };
    };
    const busy = (seconds: number) => `millrace_link_busy_seconds_total{link="line",device="meter"} ${seconds}\n`;
    const rows = compare(json(), look(0, 100, 10, busy(5)), look(10_000, 115, 25, busy(5.5)));
    const of = (what: string) => rows.find((row) => row.what === what);
    expect(of("records taken")).toMatchObject({ predicted: 1.5, measured: 1.5, error: expect.closeTo(0, 6) });
    expect(of("line: bus load")?.measured).toBeCloseTo(5, 9);
    expect(of("cloud: backlog grows")).toMatchObject({ predicted: 1.5, measured: 1.5 });
  });
});

describe("parts of the plan", () => {
  it("knows how often a tag with deadband, silence and rate is sent", () => {
    expect(shareSent({}, 1, 0.1)).toBe(1);
    expect(shareSent({ deadband: 0 }, 1, 0.1)).toBe(0.1);
    // Never changes: once in ten readings.
    expect(shareSent({ deadband: 0, maxSilenceMs: 10_000 }, 1, 0)).toBeCloseTo(0.1, 12);
    // The first of two readings in half of the cases: 1.5 readings on average.
    expect(shareSent({ deadband: 0, maxSilenceMs: 2_000 }, 1, 0.5)).toBeCloseTo(1 / 1.5, 12);
    expect(shareSent({ minIntervalMs: 4_000 }, 1, 1)).toBe(0.25);
  });

  it("knows how many records wait for each other", () => {
    expect(gathered(2, true, 700)).toBe(2);
    expect(gathered(2, true, 500)).toBe(1.5);
    expect(gathered(2, false, 700)).toBeCloseTo(2.4, 12);
    expect(gathered(0.1, true, 1000)).toBe(1);
  });

  it("reads rates", () => {
    expect(rateOption("rate", "100")).toBe(100);
    expect(rateOption("rate", "6/m")).toBe(0.1);
    expect(rateOption("rate", undefined)).toBeUndefined();
  });

  it("makes axes with round steps in the unit people speak of", () => {
    expect(timeAxis(8.2 * 3600)).toMatchObject({ unit: "h" });
    expect(timeAxis(90)).toMatchObject({ unit: "s" });
    expect(timeAxis(30 * 86_400).ticks.map(({ text }) => text)).toEqual(["0", "5", "10", "15", "20", "25", "30"]);
    const { unit, ticks, most } = bytesAxis(1.9 * 1024 ** 3);
    expect(unit).toBe("GiB");
    expect(ticks.at(-1)?.at).toBe(most);
    expect(most).toBeGreaterThanOrEqual(1.9 * 1024 ** 3);
  });

  it("reads metrics as Prometheus writes them", () => {
    const counters = parseMetrics('# HELP a b\na{x="1",y="q\\"r"} 2\na{x="2"} 3.5e1\nb 7\nnonsense\n');
    expect(sumOf(counters, "a")).toBe(37);
    expect(sumOf(counters, "a", { x: "1" })).toBe(2);
    expect(counters[0]?.labels).toEqual({ x: "1", y: 'q"r' });
    expect(sumOf(counters, "c")).toBe(0);
  });
});
