import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { Link } from "../../gateway/southbound/link.ts";
import { ptyPair } from "../drivers/modbus/pty.ts";
import { clock, deviceOf, driverOf, farEnd, Notes } from "../drivers/serial/bench.ts";

const ROUNDS = 40;

/** A port that is pulled out while it receives may never say so, and take a whole core until somebody closes it. */
it("a serial device is pulled out in the middle of its telegrams, again and again", async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-unplug-"));
  const path = join(folder, "usb-scale");
  const notes = new Notes();
  let good = 0;
  const link = new Link({
    name: "line",
    driver: () => driverOf({ transport: { path }, framing: { type: "delimiter" } }, notes),
    devices: [deviceOf("scale", { parse: { pattern: "^W(?<v>[0-9]+)$" } }, { v: { type: "int64" } })],
    clock,
    log: notes.log,
    metrics: notes.metrics,
    emit: ({ samples }) => {
      if (samples[0]?.quality === "good") good++;
    },
    options: { backoffMinMs: 20, backoffMaxMs: 50 },
  });
  await link.start();
  const noticed: number[] = [];
  const back: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const line = await ptyPair();
    await symlink(line.a, path);
    const far = await farEnd(line.b);
    const flood = setInterval(() => void far.say("W12345\r\n".repeat(20)), 1);
    const pluggedMs = performance.now();
    const before = good;
    await vi.waitFor(() => expect(good).toBeGreaterThan(before + 50), { timeout: 20_000, interval: 2 });
    back.push(performance.now() - pluggedMs);
    clearInterval(flood);
    const pulledMs = performance.now();
    await rm(path);
    await line.stop();
    await vi.waitFor(() => expect(link.status().state).not.toBe("connected"), { timeout: 20_000, interval: 2 });
    noticed.push(performance.now() - pulledMs);
    await far.close();
  }
  await link.stop();
  await rm(folder, { recursive: true });
  const worst = (list: number[]) => `${Math.round(Math.max(...list))} ms`;
  const wrong = notes.of("unreadable");
  console.log(
    `serial unplug: ${ROUNDS} rounds, noticed within ${worst(noticed)}, back within ${worst(back)}, ${good} good, ${wrong} unreadable`,
  );
  expect(Math.max(...noticed)).toBeLessThan(10_000);
  expect(wrong).toBe(0);
});
