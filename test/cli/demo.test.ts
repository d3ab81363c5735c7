import { readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { driverModules } from "../../drivers/index.ts";
import { runDemo } from "../../gateway/cli/demo.ts";
import { isRunning, type TestIo, testIo } from "./io.ts";

const argv1 = fileURLToPath(new URL("./fixtures/gateway.mjs", import.meta.url));
const deps = { drivers: driverModules };
const WAIT = { timeout: 15_000, interval: 50 };

function demoIo(over: Parameters<typeof testIo>[0] = {}): TestIo {
  return testIo({ argv1, env: { PATH: process.env["PATH"] }, ...over });
}

/** The process id of the gateway, from /proc: the child that runs the fixture. */
async function gatewayPid(not = 0): Promise<number> {
  const children = await readFile(`/proc/self/task/${process.pid}/children`, "utf8");
  for (const child of children.trim().split(" ").map(Number)) {
    const line = await readFile(`/proc/${child}/cmdline`, "utf8").catch(() => "");
    if (child !== not && line.includes(argv1)) return child;
  }
  throw new Error("no gateway");
}

async function childrenOfMine(): Promise<string[]> {
  const children = (await readFile(`/proc/self/task/${process.pid}/children`, "utf8")).trim().split(" ");
  const lines = await Promise.all(children.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  return lines.filter((line) => line.includes("gateway.mjs") || line.startsWith("perl") || line.startsWith("socat"));
}

const folders = async () => (await readdir(tmpdir())).filter((name) => name.startsWith("millrace-demo-"));

describe("millrace demo", () => {
  const kept: string[] = [];
  afterAll(async () => {
    for (const folder of kept) await rm(folder, { recursive: true, force: true });
  });

  it("shows values upstream, survives kill -9 of the gateway, and leaves nothing on Ctrl-C", async () => {
    const before = await folders();
    const io = demoIo();
    const done = runDemo([], io, deps);
    await vi.waitFor(
      () => expect(io.stdout()).toMatch(/first plant values at the upstream after [\d.]+ s: press-1 /),
      WAIT,
    );
    const first = await gatewayPid();
    process.kill(first, "SIGKILL");
    await vi.waitFor(() => expect(io.stdout()).toContain(`gateway ${first} died (SIGKILL); starting it again`), WAIT);
    let second = 0;
    await vi.waitFor(async () => {
      second = await gatewayPid(first);
    }, WAIT);
    expect(second).not.toBe(first);
    io.abort();
    expect(await done).toBe(0);
    expect(io.stdout()).toContain("COMPLETE: nothing is missing");
    expect(isRunning(first)).toBe(false);
    expect(isRunning(second)).toBe(false);
    expect(await childrenOfMine()).toEqual([]);
    expect(await folders()).toEqual(before);
  });

  it("takes the screen of a terminal, ends by itself, gives it back, and keeps its folder when asked", async () => {
    const io = demoIo({ tty: true });
    expect(await runDemo(["--for", "2s", "--keep"], io, deps)).toBe(0);
    const text = io.stdout();
    expect(text.startsWith("\x1b[?1049h")).toBe(true);
    expect(text).toMatch(/oil-temperature +[\d.]+ °C/);
    const after = text.slice(text.indexOf("\x1b[?1049l"));
    expect(after).toContain("COMPLETE");
    expect(after).toMatch(/Sensor: [1-9]\d* acknowledged, [1-9]\d* arrived\./);
    const folder = /Kept: (.*)/.exec(after)?.[1] ?? "";
    kept.push(folder);
    const config = parse(await readFile(join(folder, "demo.yaml"), "utf8"));
    expect(config.gateway.id).toBe("press-shop-01");
  });

  it("says why when the gateway cannot run", async () => {
    const io = demoIo({ env: { PATH: process.env["PATH"], FIXTURE_EXIT: "78" } });
    expect(await runDemo([], io, deps)).toBe(70);
    expect(io.stderr()).toContain("millrace.yaml:1:1: this is why");
  });

  it("refuses what it does not know", async () => {
    const io = demoIo();
    expect(await runDemo(["--outage", "soon"], io, deps)).toBe(64);
    expect(await runDemo(["more"], io, deps)).toBe(64);
    expect(await runDemo(["--help"], io, deps)).toBe(0);
    expect(io.stdout()).toContain("Example: millrace demo --outage 20s");
  });
});
