import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, expect, it, vi } from "vitest";
import { NotConnectedError } from "../../../gateway/core/errors.ts";
import { Link } from "../../../gateway/southbound/link.ts";
import type { Scan } from "../../../gateway/southbound/scan.ts";
import { ptyPair } from "../modbus/pty.ts";
import { clock, deviceOf, driverOf, farEnd, live, Notes, valuesOf } from "./bench.ts";

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

const FRAMING = { type: "delimiter", delimiter: "\r\n" };
const scanner = () => deviceOf("scanner", {}, { code: { type: "string", stream: "events" } });

/** A name that stays while the port behind it changes, as udev's by-id names do. */
async function name(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-serial-"));
  cleanup.push(() => rm(folder, { recursive: true, force: true }));
  return join(folder, "usb-scanner");
}
async function plug(path: string) {
  const line = await ptyPair();
  await rm(path, { force: true });
  await symlink(line.a, path);
  const far = await farEnd(line.b);
  const pull = async () => {
    await far.close();
    await rm(path, { force: true });
    await line.stop();
  };
  cleanup.push(pull);
  return { far, pull };
}

function linkTo(path: string) {
  const scans: Scan[] = [];
  const notes = new Notes();
  const link = new Link({
    name: "line",
    driver: () => driverOf({ transport: { path }, framing: FRAMING }, notes),
    devices: [scanner()],
    clock,
    log: notes.log,
    metrics: notes.metrics,
    emit: (scan) => void scans.push(scan),
    options: { backoffMinMs: 20, backoffMaxMs: 50 },
  });
  cleanup.push(() => link.stop());
  return { link, notes, seen: () => scans.map(({ samples }) => valuesOf(samples)["code"]) };
}

it("a port that is missing at the start is used when it is there, and again after it was pulled out", async () => {
  const path = await name();
  const { link, seen } = linkTo(path);
  await link.start();
  await vi.waitFor(() => expect(link.status().lastError).toContain("is not there"), { timeout: 10_000 });
  const expected: string[] = ["[link down]"];
  for (let round = 0; round < 3; round++) {
    const { far, pull } = await plug(path);
    await vi.waitFor(() => expect(link.status().state).toBe("connected"), { timeout: 10_000 });
    await far.say(`scan-${round}\r\n`);
    expected.push(`scan-${round}`, "[link down]");
    await vi.waitFor(() => expect(seen().at(-1)).toBe(`scan-${round}`), { timeout: 10_000 });
    expect(link.status().devices[0]).toMatchObject({ state: "online" });
    await far.say("half a te");
    await pull();
    await vi.waitFor(() => expect(seen().at(-1)).toBe("[link down]"), { timeout: 10_000 });
  }
  expect(seen()).toEqual(expected);
});

it("names the program that has the port, and takes it over when that ends", async () => {
  const path = await name();
  const { far } = await plug(path);
  const other = await holding(path);
  const driver = driverOf({ transport: { path }, framing: FRAMING });
  cleanup.push(() => driver.close());
  const refused = driver.connect(live());
  await expect(refused).rejects.toBeInstanceOf(NotConnectedError);
  await expect(refused).rejects.toThrow(`perl (pid ${other.pid}): only one can have it`);
  other.kill();
  await once(other, "exit");
  await driver.connect(live());
  const seen: unknown[] = [];
  const device = scanner();
  const ending = new AbortController();
  const listening = driver.listen(device, device.tags, (samples) => void seen.push(valuesOf(samples)), ending.signal);
  await far.say("ours\r\n");
  await vi.waitFor(() => expect(seen).toEqual([{ code: "ours" }]));
  ending.abort();
  await listening;
});

/** Another program with the lock of a port, taken as serial programs take it. */
async function holding(path: string): Promise<ChildProcess> {
  const code = `use Fcntl qw(:flock); open(my $p, "+<", $ARGV[0]) or die; flock($p, LOCK_EX|LOCK_NB) or die; $| = 1; print "held\\n"; <STDIN>;`;
  const child = spawn("perl", ["-e", code, path], { stdio: ["pipe", "pipe", "ignore"] });
  cleanup.push(async () => child.kill());
  const lines = createInterface({ input: child.stdout });
  await once(lines, "line");
  return child;
}
