import { access } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { driverModules } from "../../drivers/index.ts";
import { runCheck } from "../../gateway/cli/check.ts";
import { runLearnt } from "../../gateway/cli/learnt.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { LearntFiles, learntIn, readOnlyLearnt, removeLearnt } from "../../gateway/system/learnt-files.ts";
import { folderWith } from "../config/support.ts";
import { testIo } from "./io.ts";

const CONFIG = `gateway: { id: gw }
links:
  - name: line
    driver: modbus
    transport: { type: rtu, path: /dev/ttyUSB0, baud: 9600 }
    devices:
      - name: meter-1
        unit: 5
        tags:
          - { name: a, address: "input:0", type: float32, every: 500ms }
          - { name: b, address: "input:6", type: float32, every: 500ms }
          - { name: s, address: "input:100", type: string(200), every: 500ms }
`;
const KEY = { driver: "modbus", link: "line", device: "meter-1", identity: "rtu /dev/ttyUSB0 unit 5" };
const CONTENT = {
  version: 1,
  holes: [{ area: "input", start: 2, end: 6 }],
  refused: [{ area: "input", start: 900, end: 902 }],
  registers: { answered: 100, refused: 101, most: 100 },
  bits: { answered: 0 },
  reply: { samples: 500, smooth: 150, deviation: 2, slowest: 160 },
};
const clock = { bootId: "b", now: () => ({ wallMs: 1_763_800_000_000, monoMs: 0, clock: "synced" as const }) };
const deps = { drivers: driverModules, learntIn, removeLearnt };

let folder: string;
beforeEach(async () => {
  folder = folderWith(CONFIG);
  const store = new LearntFiles(join(folder, "data"), clock, silentLogger);
  await store.start();
  store.save(KEY, CONTENT);
  await store.stop();
});
const started: LearntFiles[] = [];
afterEach(async () => {
  for (const store of started.splice(0)) await store.stop();
});

async function learnt(...args: string[]) {
  const io = testIo({ cwd: folder });
  const code = await runLearnt(args, io, deps);
  return { code, out: io.stdout(), err: io.stderr() };
}

describe("millrace learnt", () => {
  it("shows what is known", async () => {
    const { code, out } = await learnt();
    expect(code).toBe(0);
    expect(out).toMatch(/^meter-1 {2}rtu \/dev\/ttyUSB0 unit 5, 2025-11-22T/);
    expect(out).toContain("input:2..5 cannot be read");
    expect(out).toContain("at most 100 registers in one request");
    expect(out).toContain("input:900..901 is left out: illegal data address");
    expect(out).toContain("answers begin after 150.0 ms on average");
  });

  it("exports keys that the configuration takes", async () => {
    const keys = parse((await learnt("meter-1", "--export")).out);
    expect(keys).toEqual({ maxRegisters: 100, holes: ["input:2..5"], timeout: "500ms" });
  });

  it("resets, and says what there is to be named", async () => {
    expect((await learnt("meter-2")).err).toMatch(/nothing was learnt about "meter-2"; there is meter-1/);
    const [found] = await learntIn(join(folder, "data"));
    expect(await learnt("meter-1", "--reset")).toEqual({ code: 0, out: "meter-1: forgotten\n", err: "" });
    await expect(access(found?.path ?? "")).rejects.toThrow("ENOENT");
    expect(await learnt()).toMatchObject({ code: 1, err: "millrace learnt: nothing was learnt yet\n" });
  });

  it("keeps what a running gateway knew away from the next one after a reset", async () => {
    const store = new LearntFiles(join(folder, "data"), clock, silentLogger);
    started.push(store);
    await store.start();
    let forgotten = 0;
    store.onReset(KEY, () => forgotten++);
    await learnt("--reset");
    store.save(KEY, CONTENT);
    await store.stop();
    expect(forgotten).toBe(1);
    expect(store.load(KEY)).toBeUndefined();
  });
});

describe("millrace check", () => {
  async function check(...args: string[]) {
    const io = testIo({ cwd: folder });
    await runCheck(args, io, { learnt: readOnlyLearnt });
    return io.stdout();
  }

  it("plans with what was learnt, and says what the line cannot do and what would help", async () => {
    const out = await check("--plan");
    expect(out).toContain("input 0..1 (2 registers)");
    expect(out).toMatch(
      /meter-1 {2}every 500 ms {2}3 tags {2}3 requests {2}104 read, 0 for nothing +\d+\.\d ms +\d+\.\d %/,
    );
    // 2 x 4 and 200 bytes of data, three frames of 13 bytes and 7 characters of silence, 150 ms each.
    const busyMs = ((208 + 3 * 20) * 11 * 1000) / 9600 + 450;
    const percent = (busyMs / 500) * 100;
    expect(out).toContain(
      `line: ${percent.toFixed(0)} % busy; tag meter-1/a cannot be read every 500 ms, the best is ${Math.ceil(busyMs)} ms`,
    );
    expect(out).toMatch(/read 1\.7 times less often|read 1\.8 times less often/);
  });

  it("gives the costs as JSON", async () => {
    const { links } = JSON.parse(await check("--json"));
    const [{ cost, requests }] = links[0].groups;
    expect(cost).toMatchObject({ requests: 3, addresses: 104, spare: 0 });
    expect(requests[0].busyMs).toBeCloseTo(requests[0].wireMs + 150, 6);
  });
});
