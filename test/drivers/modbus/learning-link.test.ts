import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { modbusModule } from "../../../drivers/modbus/module.ts";
import { readLink } from "../../../drivers/modbus/options.ts";
import { SimulatedUnit } from "../../../drivers/modbus/simulator/server.ts";
import { SimulatedTcpServer } from "../../../drivers/modbus/simulator/tcp-server.ts";
import type { Device } from "../../../gateway/core/driver.ts";
import { silentLogger } from "../../../gateway/core/log.ts";
import { noMetrics } from "../../../gateway/core/metrics.ts";
import { Link } from "../../../gateway/southbound/link.ts";
import type { Scan } from "../../../gateway/southbound/scan.ts";
import { LearntFiles } from "../../../gateway/system/learnt-files.ts";
import { deviceOf, type TagTexts } from "./bench.ts";

const clock = {
  bootId: "test",
  now: () => ({ wallMs: Date.now(), monoMs: performance.now(), clock: "synced" as const }),
};
const EVERY_MS = 50;
const LIMIT = 30;
const ILLEGAL_VALUE = 3;

let folder: string;
let server: SimulatedTcpServer;
let unit: SimulatedUnit;
let refusals: number;
const closing: (() => Promise<void>)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-learnt-"));
  unit = new SimulatedUnit(1);
  unit.registers.set(
    "holding",
    0,
    Array.from({ length: 60 }, (_, at) => at),
  );
  unit.registers.set(
    "holding",
    70,
    Array.from({ length: 10 }, (_, at) => 70 + at),
  );
  server = new SimulatedTcpServer("127.0.0.1", 0, [unit]);
  refusals = 0;
  // Does not give more than 30 registers at once.
  server.tamper = ({ question, answer }) => {
    const tooLong = question.readUInt16BE(10) > LIMIT;
    const refused = Buffer.concat([answer.subarray(0, 4), Buffer.from([0, 3, 1, 0x83, ILLEGAL_VALUE])]);
    const sent = tooLong ? refused : answer;
    if (((sent[7] ?? 0) & 0x80) !== 0) refusals++;
    return { chunks: [sent] };
  };
  await server.start();
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

function tagsAt(...addresses: number[]): TagTexts {
  return Object.fromEntries(addresses.map((at) => [`t${at}`, { address: `holding:${at}`, type: "uint16" }]));
}

async function gateway(device: Device) {
  const learnt = new LearntFiles(folder, clock, silentLogger, 100);
  await learnt.start();
  const options = readLink(
    modbusModule.linkSchema.parse({ transport: { type: "tcp", host: "127.0.0.1", port: server.address.port } }),
  );
  const scans: Scan[] = [];
  const link = new Link({
    name: "plc",
    driver: () => modbusModule.create(options, { link: "plc", clock, log: silentLogger, metrics: noMetrics, learnt }),
    devices: [device],
    clock,
    log: silentLogger,
    metrics: noMetrics,
    emit: (scan) => scans.push(scan),
    options: { backoffMinMs: 50 },
  });
  await link.start();
  const stop = async () => {
    await link.stop();
    await learnt.stop();
  };
  closing.push(stop);
  return { link, scans, stop };
}

function polled(tags: TagTexts): Device {
  const device = deviceOf({ unit: 1 }, tags);
  // Every scan is sent, whether a value changed or not.
  return { ...device, tags: device.tags.map((tag) => ({ ...tag, everyMs: EVERY_MS })) };
}

function badIn(scan: Scan | undefined): Record<string, string | undefined> {
  return Object.fromEntries(
    (scan?.samples ?? []).flatMap(({ tag, quality, reason }) => (quality === "good" ? [] : [[tag, reason]])),
  );
}

const PLACES = [...Array.from({ length: 60 }, (_, at) => at), 72, 75];
const DEVICE = () => polled(tagsAt(...PLACES, 500));
const PLANNED = { requests: 3, bad: { t500: "illegal data address" } };

describe("a link whose device has holes and a limit", () => {
  it("reads what there is from the first scan on, learns, and remembers after a restart", async () => {
    const first = await gateway(DEVICE());
    await vi.waitFor(() => expect(first.scans.length).toBeGreaterThan(0), 5000);
    const values = Object.fromEntries(first.scans[0]?.samples.map(({ tag, value }) => [tag, value]) ?? []);
    // In one scan, although blocks were refused for a hole and for their length.
    expect(values).toMatchObject({ t0: 0, t59: 59, t72: 72, t75: 75 });
    await vi.waitFor(() => {
      const [plan] = first.link.plan();
      expect(plan?.requests.length).toBe(PLANNED.requests);
      expect(plan?.requests.every(({ addresses = 0 }) => addresses <= LIMIT)).toBe(true);
    }, 5000);
    await vi.waitFor(() => expect(badIn(first.scans.at(-1))).toEqual(PLANNED.bad), 5000);
    let calmFrom = first.scans.length;
    let known = refusals;
    await vi.waitFor(() => {
      if (refusals > known) [known, calmFrom] = [refusals, first.scans.length];
      expect(first.scans.length).toBeGreaterThan(calmFrom + 10);
    }, 8000);
    await first.stop();

    refusals = 0;
    const second = await gateway(DEVICE());
    await vi.waitFor(() => expect(second.scans.length).toBeGreaterThan(10), 5000);
    expect(second.scans.every((scan) => Object.keys(badIn(scan)).every((tag) => tag === "t500"))).toBe(true);
    // The tag that is left out is tried once, as after any reconnect.
    expect(refusals).toBe(1);
    expect(second.link.plan()[0]?.requests).toHaveLength(PLANNED.requests);
    await second.stop();
  });

  it("brings a tag back when the link comes back", async () => {
    const { scans } = await gateway(DEVICE());
    await vi.waitFor(() => expect(badIn(scans.at(-1))).toEqual(PLANNED.bad), 5000);
    unit.registers.set("holding", 500, [7]);
    server.dropConnections();
    await vi.waitFor(() => {
      expect(scans.at(-1)?.samples.length).toBe(PLACES.length + 1);
      expect(badIn(scans.at(-1))).toEqual({});
    }, 8000);
  });

  it("starts from nothing when what it learnt is damaged, and tells another device apart", async () => {
    const first = await gateway(DEVICE());
    await vi.waitFor(() => expect(first.link.plan()[0]?.requests).toHaveLength(PLANNED.requests), 5000);
    await first.stop();
    const [file = ""] = await readdir(join(folder, "state", "learnt"));
    for (const text of ["", "{", "null", '{"crc":1,"entry":{}}']) {
      await writeFile(join(folder, "state", "learnt", file), text);
      refusals = 0;
      const { scans, stop } = await gateway(DEVICE());
      await vi.waitFor(() => expect(scans.length).toBeGreaterThan(0), 5000);
      expect(refusals).toBeGreaterThan(1);
      await stop();
    }
    refusals = 0;
    const other = await gateway({ ...DEVICE(), name: "unit-2" });
    await vi.waitFor(() => expect(other.scans.length).toBeGreaterThan(0), 5000);
    expect(refusals).toBeGreaterThan(1);
  });

  it("forgets while it runs, when the file is removed", async () => {
    const { link, scans } = await gateway(DEVICE());
    await vi.waitFor(() => expect(link.plan()[0]?.requests).toHaveLength(PLANNED.requests), 5000);
    const kept = join(folder, "state", "learnt");
    await vi.waitFor(async () => expect(await readdir(kept)).toEqual([expect.stringMatching(/\.json$/)]), 5000);
    const before = refusals;
    await rm(join(kept, (await readdir(kept))[0] ?? ""));
    await vi.waitFor(() => expect(refusals).toBeGreaterThan(before + 1), 8000);
    expect(scans.length).toBeGreaterThan(0);
  });
});

it("what could not be written is written later, without another change", async () => {
  const kept = join(folder, "state", "learnt");
  const key = { driver: "modbus", link: "l", device: "d", identity: "i" };
  const before = new LearntFiles(folder, clock, silentLogger);
  before.save(key, { round: 1 });
  await before.stop();
  const [name = ""] = await readdir(kept);
  // The file it is written to first cannot be opened; everything else works.
  await mkdir(join(kept, `${name}.new`));
  const warned: string[] = [];
  const log = { ...silentLogger, warn: (_fields: object, message: string) => void warned.push(message) };
  const store = new LearntFiles(folder, clock, log, 50);
  closing.push(() => store.stop());
  await store.start();
  store.save(key, { round: 2 });
  await vi.waitFor(() => expect(warned).toEqual(["what was learnt about devices cannot be kept"]), 8000);
  await rm(join(kept, `${name}.new`), { recursive: true });
  await vi.waitFor(async () => expect(await readFile(join(kept, name), "utf8")).toContain('"round":2'), 4000);
});

it("a data folder that cannot be read does not keep the gateway from starting", async () => {
  await writeFile(join(folder, "state"), "a file where a folder should be");
  const store = new LearntFiles(folder, clock, silentLogger);
  closing.push(() => store.stop());
  await store.start();
  expect(store.load({ driver: "modbus", link: "l", device: "d", identity: "i" })).toBeUndefined();
});

it("a moody unit is neither given up nor misunderstood", async () => {
  let n = 0;
  server.tamper = ({ answer }) => ({ chunks: [answer], delayMs: n++ % 7 === 6 ? 40 : n % 3 });
  const { link, scans } = await gateway(polled(tagsAt(...PLACES.slice(0, 60))));
  await vi.waitFor(() => expect(scans.length).toBeGreaterThan(20), 10_000);
  expect(link.status().devices[0]).toMatchObject({ timeouts: 0, errors: 0 });
  expect(link.plan()[0]?.requests).toHaveLength(1);
});
