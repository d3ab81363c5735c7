import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { progressText } from "../../gateway/cli/queue/progress.ts";
import { runQueue } from "../../gateway/cli/queue.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { ControlServer } from "../../gateway/http/control.ts";
import { storedLine } from "../../gateway/northbound/encoders/stored.ts";
import type { LevelQueue } from "../../gateway/queue/level-queue.ts";
import { queueTools } from "../../gateway/queue-tools.ts";
import { message, messages, reader, startedQueue, testClock, testFolder } from "../queue/support.ts";
import { type TestIo, testIo } from "./io.ts";

async function home(dataDir = "data"): Promise<{ cwd: string; dataDir: string }> {
  const cwd = await testFolder();
  const config = `gateway: { id: shop, dataDir: ./${dataDir} }\nuplinks: [ { name: cloud, type: mqtt } ]\n`;
  writeFileSync(join(cwd, "millrace.yaml"), config);
  mkdirSync(join(cwd, dataDir), { recursive: true });
  return { cwd, dataDir: join(cwd, dataDir) };
}

async function filled(dataDir: string, count = 500): Promise<LevelQueue> {
  const queue = await startedQueue(dataDir);
  await queue.open("cloud", reader());
  await queue.append("telemetry", messages(count, 1, "plant/a", 100));
  return queue;
}

/** The queue of a gateway that runs: with its control socket. */
async function running(dataDir: string, queue: LevelQueue): Promise<ControlServer> {
  const control = new ControlServer({
    dataDir,
    gatewayId: "shop",
    inspector: () => queue.inspector(),
    encode: (entry) => storedLine(entry, "shop"),
    log: silentLogger,
  });
  await control.start();
  onTestFinished(() => control.stop());
  return control;
}

async function run(cwd: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = testIo({ cwd });
  const code = await runQueue(args, io, queueTools);
  return { code, out: io.stdout(), err: io.stderr() };
}

function seqs(text: string): number[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => (JSON.parse(line) as { seq: number }).seq);
}

const COUNT = Array.from({ length: 500 }, (_, index) => index + 1);

describe.each(["running", "stopped"])("millrace queue, %s", (state) => {
  async function there() {
    const { cwd, dataDir } = await home();
    const queue = await filled(dataDir);
    if (state === "running") await running(dataDir, queue);
    else await queue.close();
    return { cwd, dataDir, queue };
  }

  it("stats says what is owed, for people and as JSON", async () => {
    const { cwd } = await there();
    const text = await run(cwd, "stats");
    expect(text.code).toBe(0);
    expect(text.out).toMatch(/cloud +events +0/);
    expect(text.out).toMatch(/telemetry +500/);
    expect(text.out).toContain(state === "running" ? "bytes per record" : "Stopped: there are no rates");
    const json = await run(cwd, "stats", "--json");
    expect(JSON.parse(json.out)).toMatchObject({
      running: state === "running",
      uplinks: [
        { name: "cloud", configured: true, streams: { telemetry: { depth: 500, lastTaken: 500, lastAcked: 0 } } },
      ],
    });
  });

  it("peek shows the oldest ten, or as many as wanted", async () => {
    const { cwd } = await there();
    const { out, code, err } = await run(cwd, "peek");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(seqs(out)).toEqual(COUNT.slice(0, 10));
    expect(JSON.parse(out.split("\n")[0] ?? "")).toMatchObject({
      stream: "telemetry",
      id: expect.stringMatching(/^shop\/telemetry\/[0-9a-f]{8}\/1$/),
      clock: "synced",
      topic: "plant/a",
      qos: 1,
    });
    expect(seqs((await run(cwd, "peek", "--limit", "2", "--uplink", "cloud")).out)).toEqual([1, 2]);
  });

  it("export gives every record, to stdout or into a file", async () => {
    const { cwd } = await there();
    expect(seqs((await run(cwd, "export")).out)).toEqual(COUNT);
    const { code, err, out } = await run(cwd, "export", "--out", "all.ndjson", "--from", "100");
    expect({ code, err, out }).toEqual({ code: 0, err: "401 records in all.ndjson\n", out: "" });
    expect(seqs(readFileSync(join(cwd, "all.ndjson"), "utf8"))).toEqual(COUNT.slice(99));
  });

  it("an unknown uplink is refused with those that are there", async () => {
    const { cwd } = await there();
    const { code, err } = await run(cwd, "export", "--uplink", "clod");
    expect(code).toBe(78);
    expect(err).toBe('millrace queue export: there is no uplink "clod": the queue knows cloud\n');
  });

  it("forget refuses an uplink of the configuration and says how", async () => {
    const { cwd } = await there();
    const refused = await run(cwd, "forget", "cloud");
    expect(refused.code).toBe(78);
    expect(refused.err).toMatch(/is in the configuration.*--yes/);
    const done = await run(cwd, "forget", "cloud", "--yes");
    expect(done.code).toBe(0);
    expect(done.out).toMatch(/backlog of 500 records is dropped.*gap/s);
    expect(done.out).toContain("Epoch: stays. verify: counts the gap.");
  });

  it("backup makes a folder with a manifest", async () => {
    const { cwd } = await there();
    const { code, out } = await run(cwd, "backup", "kept");
    expect(code).toBe(0);
    expect(out).toMatch(/^0 events and 500 telemetry records .* in kept\nEpoch: stays/);
    expect(readdirSync(join(cwd, "kept")).sort()).toEqual(["manifest.json", "queue", "state"]);
    expect((await run(cwd, "backup", "kept")).err).toMatch(/is not empty/);
  });

  it("restore and reset want a stopped gateway, and say what becomes of the epoch", async () => {
    const { cwd } = await there();
    await run(cwd, "backup", "kept");
    const restored = await run(cwd, "restore", "kept", "--yes");
    const reset = await run(cwd, "reset", "--yes");
    if (state === "running") {
      expect([restored.code, reset.code]).toEqual([78, 78]);
      expect(reset.err).toMatch(/a gateway runs in .* \(process \d+\); stop it first/);
      return;
    }
    expect([restored.code, reset.code]).toEqual([0, 0]);
    for (const { out } of [restored, reset]) expect(out).toMatch(/Epoch: a new one begins.*verify: /s);
    expect(reset.out).toMatch(/lost: the 500 records that cloud was owed/);
  });
});

describe("millrace queue", () => {
  it("reads a stopped queue without a configuration, then without the gateway's id", async () => {
    const { cwd, dataDir } = await home();
    await (await filled(dataDir, 1)).close();
    const { out } = await run("/", "peek", "--data", dataDir);
    expect(JSON.parse(out)).not.toHaveProperty("id");
    expect(seqs(out)).toEqual([1]);
    const refused = await run("/", "forget", "cloud", "--data", dataDir);
    expect(refused).toMatchObject({ code: 78, err: expect.stringMatching(/name the configuration with --config/) });
    expect((await run(cwd, "forget", "cloud", "--yes")).code).toBe(0);
  });

  it("tells damage on stderr and leaves with 1", async () => {
    const { cwd, dataDir } = await home();
    await (await filled(dataDir)).close();
    const [segment = ""] = readdirSync(join(dataDir, "queue", "telemetry"));
    const folder = join(dataDir, "queue", "telemetry", segment);
    const log = join(folder, readdirSync(folder).find((name) => name.endsWith(".log")) ?? "");
    const bytes = readFileSync(log);
    bytes.fill(0, 40_000, 40_100);
    writeFileSync(log, bytes);
    const { code, err, out } = await run(cwd, "export");
    expect(code).toBe(1);
    expect(err).toMatch(/^damaged: telemetry seqs? \d+/);
    const lost = Number(/^([\d,]+) seqs could not be read/m.exec(err)?.[1]);
    expect(seqs(out).length + lost).toBe(500);
  });

  it("leaves no file when it is stopped in the middle", async () => {
    const { cwd, dataDir } = await home();
    await filled(dataDir, 20_000).then((queue) => queue.close());
    const io: TestIo = testIo({ cwd, errTty: true, err: () => io.abort() });
    expect(await runQueue(["export", "--out", "all.ndjson"], io, queueTools)).toBe(1);
    expect(readdirSync(cwd).sort()).toEqual(["data", "millrace.yaml"]);
  });

  it("leaves no file when the gateway stops in the middle", async () => {
    const { cwd, dataDir } = await home();
    const queue = await filled(dataDir, 20_000);
    const control = await running(dataDir, queue);
    let stopped: Promise<void> | undefined;
    const io = testIo({ cwd, write: () => (stopped ??= control.stop()) });
    expect(await runQueue(["export"], io, queueTools)).toBe(69);
    expect(io.stderr()).toMatch(/stopped in the middle/);
  });

  it("writes as fast as its reader takes it", async () => {
    const { cwd, dataDir } = await home();
    await running(dataDir, await filled(dataDir, 20_000));
    const pieces: string[] = [];
    let busy = 0;
    const io = testIo({
      cwd,
      write: async (text) => {
        expect(++busy).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        busy--;
        pieces.push(text);
      },
    });
    expect(await runQueue(["export"], io, queueTools)).toBe(0);
    expect(seqs(pieces.join("")).length).toBe(20_000);
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(2_000_000);
  });

  it("says so when a gateway has the folder and does not answer", async () => {
    const { cwd, dataDir } = await home();
    await filled(dataDir);
    const { code, err } = await run(cwd, "stats");
    expect(code).toBe(69);
    expect(err).toMatch(/process \d+ has .* open and does not answer/);
  });

  it("takes its own mistakes for usage", async () => {
    const { cwd, dataDir } = await home();
    await (await filled(dataDir, 1)).close();
    expect((await run(cwd, "peak")).code).toBe(64);
    expect((await run(cwd, "peek", "--limit", "0")).err).toMatch(/whole number from 1/);
    expect((await run(cwd, "export", "--stream", "logs")).err).toMatch(/events or telemetry/);
    expect((await run(cwd, "forget")).err).toMatch(/name one UPLINK/);
    expect((await run(cwd, "reset")).err).toMatch(/say --yes/);
    expect((await run("/", "stats")).err).toMatch(/--config.*--data/);
    expect((await run(cwd, "stats", "--data", "nowhere")).err).toMatch(/there is no queue in/);
  });

  it("has help with an example for each", async () => {
    for (const name of ["stats", "peek", "export", "forget", "backup", "restore", "reset"]) {
      const { code, out } = await run("/", name, "--help");
      expect(code).toBe(0);
      expect(out).toContain("\nExample: millrace queue ");
      expect(out).toMatch(/epoch/i);
      expect(out).toMatch(/verify/);
    }
    expect((await run("/", "--help")).out).toContain("Example: ");
  });
});

describe("the control socket", () => {
  it("is for its own user only, and replaces what a killed process left", async () => {
    const { dataDir } = await home();
    writeFileSync(join(dataDir, "control.sock"), "");
    const control = await running(dataDir, await filled(dataDir));
    expect(statSync(join(dataDir, "control.sock")).mode & 0o777).toBe(0o600);
    expect(readdirSync(dataDir).filter((name) => name.startsWith(".ctl"))).toEqual([]);
    await control.stop();
    await control.stop();
    expect(existsSync(join(dataDir, "control.sock"))).toBe(false);
  });

  it("lies in a folder of its own where the data folder's path is too long", async () => {
    const { cwd, dataDir } = await home("d".repeat(100));
    const control = await running(dataDir, await filled(dataDir, 3));
    const path = readFileSync(join(dataDir, "state", "control"), "utf8").trim();
    expect(path.length).toBeLessThan(108);
    expect(statSync(join(path, "..")).mode & 0o777).toBe(0o700);
    expect(seqs((await run(cwd, "export")).out)).toEqual([1, 2, 3]);
    await control.stop();
    expect(existsSync(join(path, ".."))).toBe(false);
  });
});

describe("a stored record as a line", () => {
  it("keeps bytes that are no text", async () => {
    const { cwd, dataDir } = await home();
    const queue = await filled(dataDir, 1);
    const content = {
      kind: "message",
      topic: "plant/b",
      payload: Buffer.from([0xff, 0]),
      qos: 0,
      retain: true,
    } as const;
    await queue.append("events", [message("", "", { content })]);
    const source = { link: "l", device: "d", group: "1000ms", topic: "plant/c", tags: [{ name: "t", type: "int64" }] };
    const samples = [{ tag: "t", quality: "good", value: 2n ** 60n, offsetMs: 0 }] as const;
    await queue.append("events", [{ taken: testClock.now(), content: { kind: "samples", source, samples } }]);
    await queue.close();
    const [bytes, scan] = (await run(cwd, "export", "--stream", "events")).out.split("\n");
    expect(JSON.parse(bytes ?? "")).toMatchObject({ base64: "/wA=", retain: true });
    expect(JSON.parse(scan ?? "")).toMatchObject({
      device: "d",
      group: "1000ms",
      values: { t: "1152921504606846976" },
    });
  });
});

describe("progress", () => {
  it("says how much and how long", () => {
    const unit = (amount: number) => amount.toLocaleString("en-US");
    expect(progressText(12_345, 300_000, 3, unit)).toBe("12,345 of 300,000 (4 %), 70 s left");
    expect(progressText(30_000, 300_000, 30, unit)).toBe("30,000 of 300,000 (10 %), 5 m left");
    expect(progressText(0, 10, 0, unit)).toBe("0 of 10 (0 %)");
    expect(progressText(12, 10, 5, unit)).toBe("12 of 12 (100 %), 0 s left");
  });
});
