import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { LevelSegments } from "../../gateway/queue/level-segments.ts";
import { selftestCommand } from "../../gateway/selftest.ts";
import { FaultyStore } from "../queue/faulty-store.ts";
import { testIo } from "./io.ts";

/** The command itself: real files, and real kills of the built program. */

const MAIN = fileURLToPath(new URL("../../dist/gateway/main.js", import.meta.url));
const FORGETFUL = fileURLToPath(new URL("fixtures/forgetful.mjs", import.meta.url));
/** Lets both cycles work for a quarter of a second and more. */
const SEED = "31";

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "selftest-"));
  onTestFinished(() => rm(made, { recursive: true, force: true }));
  return made;
}

describe("millrace selftest storage", { timeout: 60_000 }, () => {
  it("measures, kills, finds every acknowledged record and leaves nothing behind", async () => {
    const cwd = await folder();
    const io = testIo({ cwd, argv1: MAIN });
    expect(await selftestCommand(["storage", "--seconds", "1", "--cycles", "2", "--seed", SEED, "--json"], io)).toBe(0);
    const report = JSON.parse(io.stdout());
    expect(report.verdict).toMatch(/^(good|slow)$/);
    expect(report.folder).toBe(cwd);
    expect(report.disk.type).not.toBe("unknown");
    expect(report.fsync.count).toBeGreaterThan(0);
    expect(report.rates.map(({ atOnce }: { atOnce: number }) => atOnce)).toEqual([1, 64, 1000]);
    for (const { perSecond } of report.rates) expect(perSecond).toBeGreaterThan(0);
    expect(report.kills).toMatchObject({
      cycles: 2,
      seed: Number(SEED),
      lost: 0,
      changed: 0,
      outOfOrder: 0,
      toldAsGap: 0,
    });
    expect(report.kills.acknowledged).toBeGreaterThan(4);
    expect(await readdir(cwd)).toEqual([]);
  });

  it("says bad, and exits with 1, when a disk forgets what it acknowledged", async () => {
    const cwd = await folder();
    const io = testIo({ cwd, argv1: FORGETFUL });
    expect(await selftestCommand(["storage", "--seconds", "1", "--cycles", "2", "--seed", SEED], io)).toBe(1);
    expect(io.stdout()).toMatch(
      /Verdict: BAD - do not use it for the data folder\n {2}lost [1-9]\d* acknowledged records/,
    );
    expect(await readdir(cwd)).toEqual([]);
  });

  it("says bad when the queue does not start again", async () => {
    const io = testIo({ cwd: await folder(), argv1: "/nowhere/main.js" });
    expect(await selftestCommand(["storage", "--seconds", "1", "--cycles", "2"], io)).toBe(1);
    expect(io.stdout()).toMatch(/the queue stopped in cycle 1: exit code 1: .+/);
  });

  it("says bad when the disk refuses a write, instead of trying for ever", async () => {
    const cwd = await folder();
    const io = testIo({ cwd, argv1: MAIN });
    const refusing = new FaultyStore(new LevelSegments(4 * 1024 ** 2));
    refusing.fault = (write) => (write > 5 ? "lost" : undefined);
    expect(await selftestCommand(["storage", "--seconds", "1", "--cycles", "2", "--json"], io, () => refusing)).toBe(1);
    expect(JSON.parse(io.stdout())).toMatchObject({ verdict: "bad", reasons: [expect.stringMatching(/refused/)] });
    expect(await readdir(cwd)).toEqual([]);
  });

  it.each(["queue, 64", "kills, 2"])(
    "ends at Ctrl-C and removes its folder, also in the midst of %s",
    async (moment) => {
      const cwd = await folder();
      const io = testIo({ cwd, argv1: MAIN, tty: true });
      const stopped = {
        ...io,
        out: (text: string) => {
          io.out(text);
          if (text.includes(moment)) io.abort();
        },
      };
      expect(await selftestCommand(["storage", "--seconds", "1"], stopped)).toBe(130);
      expect(io.stderr()).toContain("the scratch folder is removed");
      expect(io.stdout()).not.toContain("Verdict");
      expect(await readdir(cwd)).toEqual([]);
    },
  );

  it("makes its folder on the disk of the configured data folder, and counts the configured load", async () => {
    const cwd = await folder();
    const tag = '{ name: t, address: "40001", type: uint16, every: 1s }';
    const device = `{ name: d, unit: 1, tags: [ ${tag} ] }`;
    const link = `{ name: plc, driver: modbus, transport: { type: tcp, host: 127.0.0.1 }, devices: [ ${device} ] }`;
    await writeFile(
      join(cwd, "millrace.yaml"),
      `gateway: { id: g, dataDir: ./not/there }\nqueue: { maxBytes: 900000GiB }\nlinks: [ ${link} ]\n`,
    );
    const io = testIo({ cwd, argv1: MAIN });
    expect(await selftestCommand(["storage", "--seconds", "1", "--cycles", "0", "--json"], io)).toBe(0);
    const report = JSON.parse(io.stdout());
    expect(report.folder).toBe(cwd);
    expect(report.warnings.join()).toContain("the queue holds only");
    if (report.disk.type !== "tmpfs") expect(report.life[0]).toMatchObject({ load: "millrace.yaml" });
    expect(await readdir(cwd)).toEqual(["millrace.yaml"]);
  });

  it.each([
    [[], 64, "say what to test"],
    [["storage", "--seconds", "0"], 64, "--seconds"],
    [["storage", "--cycles", "many"], 64, "--cycles"],
    [["storage", "--endurance", "10"], 64, "--endurance"],
    [["storage", "more"], 64, '"more" is not an option'],
    [["storage", "--dir", "/nowhere"], 66, "is not a folder"],
    [["storage", "--config", "/nowhere.yaml"], 78, "/nowhere.yaml"],
  ])("%j is exit %d and says why", async (args, code, words) => {
    const io = testIo({ cwd: await folder(), argv1: MAIN });
    expect(await selftestCommand(args, io)).toBe(code);
    expect(io.stderr()).toContain(words);
  });
});
