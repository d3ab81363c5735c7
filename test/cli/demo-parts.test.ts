import { once } from "node:events";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { access, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { DemoModel } from "../../gateway/cli/demo/model.ts";
import { demoConfig, shownDevices, UPLINK } from "../../gateway/cli/demo/plant.ts";
import { freePort } from "../../gateway/cli/demo/ports.ts";
import { type PtyPair, withPerl, withSocat } from "../../gateway/cli/demo/pty-pair.ts";
import { arrived, renderFirst, renderLine, renderScreen, type ViewFacts } from "../../gateway/cli/demo/view.ts";
import { loadConfig } from "../../gateway/config/load.ts";
import { enveloped } from "../verify/messages.ts";

const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

async function carries(from: string, to: string): Promise<Buffer> {
  const reader = createReadStream(to);
  const writer = createWriteStream(from);
  let got = Buffer.alloc(0);
  const all = new Promise<void>((resolve) => {
    reader.on("data", (chunk) => {
      got = Buffer.concat([got, Buffer.from(chunk)]);
      if (got.length >= EVERY_BYTE.length) resolve();
    });
  });
  writer.write(EVERY_BYTE);
  await all;
  // A read of a terminal cannot be taken back; one more byte ends it.
  reader.destroy();
  const closed = once(reader, "close");
  writer.end("\n");
  await closed;
  return got;
}

/** perl-base is on every Debian; socat is what the demo falls back to, where it is installed. */
const makers = [["perl", withPerl] as const, ["socat", withSocat] as const].filter(
  ([name]) => name === "perl" || existsSync("/usr/bin/socat"),
);

describe.each(makers)("a pty pair by %s", (_name, open) => {
  it("carries every byte unchanged both ways, and ends", async () => {
    const pair = await open();
    if (!pair) throw new Error("no pty pair");
    const { left, right, close }: PtyPair = pair;
    expect(await carries(left, right)).toEqual(EVERY_BYTE);
    expect(await carries(right, left)).toEqual(EVERY_BYTE);
    await close();
    await close();
    await expect(access(left)).rejects.toThrow();
  });
});

describe("freePort", () => {
  it("gives the wished port when it is free, and another when it is not", async () => {
    const port = await freePort();
    expect(await freePort(port)).toBe(port);
    const taken = createServer().listen(port, "127.0.0.1");
    await once(taken, "listening");
    expect(await freePort(port)).not.toBe(port);
    taken.close();
  });
});

describe("the demo's configuration", () => {
  const ports = { plc: { host: "127.0.0.1", port: 1 }, broker: 2, upstream: 3, http: 4 };

  it("is YAML that asks for every tag that is shown", () => {
    const config = parse(demoConfig({ ...ports, meterPath: "/dev/pts/9" }));
    const asked = config.links.flatMap(
      (link: { devices: { name: string; topic: string; tags: { name: string }[] }[] }) =>
        link.devices.map((device) => [device.name, device.topic, device.tags.map((tag) => tag.name)]),
    );
    const shown = shownDevices(true)
      .slice(0, 2)
      .map((device) => [device.name, device.topic, device.tags.map((tag) => tag.name)]);
    expect(asked).toEqual(shown);
    expect(config.links[1].transport).toMatchObject({ type: "rtu", path: "/dev/pts/9" });
  });

  it("is a valid configuration of this version", async () => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-config-"));
    try {
      const file = join(folder, "demo.yaml");
      await writeFile(file, demoConfig({ ...ports, meterPath: "/dev/pts/9" }));
      const { links, uplinks } = await loadConfig(file);
      expect(links.flatMap((link) => link.devices.map((device) => device.name))).toEqual(["press-1", "meter-1"]);
      expect(uplinks.map((uplink) => uplink.name)).toEqual([UPLINK]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("has no meter where there is no line for one", () => {
    expect(parse(demoConfig(ports)).links).toHaveLength(1);
    expect(shownDevices(false).map((device) => device.name)).toEqual(["press-1", "vibration-1"]);
  });
});

describe("the demo's view", () => {
  const facts: ViewFacts = {
    nowMs: 10_000,
    elapsedMs: 61_000,
    httpUrl: "http://127.0.0.1:8080",
    gatewayPid: 123_456,
    restarts: 2,
    sensorAcknowledged: 3,
    upstream: "UNREACHABLE, back in 12 s",
    event: "something happened ".repeat(10),
    hints: ["Try:  kill -9 123456", "      more"],
    width: 80,
    colour: false,
  };

  function model(): DemoModel {
    const made = new DemoModel(shownDevices(true));
    const at = { nowMs: 9_000, sinceStartMs: 3_210 };
    const say = (seq: number, topic: string, body: object) => {
      const meta = { id: `press-shop-01/events/0000000a/${seq}`, prev: seq - 1, chain: "c", clock: "synced" };
      made.message(`acme/press-shop-01/${topic}`, Buffer.from(JSON.stringify({ _m: meta, ...body })), {}, false, at);
    };
    const press = "plant/line-1/press-1";
    say(1, press, { ts: 8_000, values: { "oil-temperature": 42.125, parts: 12 }, errors: { force: "timeout" } });
    say(3, press, { ts: 9_000, values: { parts: 13, running: true } });
    say(2, press, { ts: 8_500, values: { parts: 12 } });
    say(4, "plant/line-1/vibration-1", { payload: { n: 1, ts: 7_500, rms: 2.5, peak: 7 } });
    say(5, "plant/line-1/vibration-1", { payload: { n: 2, ts: 8_500, rms: 2.75, peak: 7 } });
    return made;
  }

  it("fits 80 by 24 and shows value, unit, quality and age", () => {
    const lines = renderScreen(model(), facts);
    expect(lines.length).toBeLessThanOrEqual(24);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
    const text = lines.join("\n");
    expect(text).toMatch(/^press-1 +oil-temperature +42\.13 °C +good +2\.0 s$/m);
    expect(text).toMatch(/^ +force +kN +timeout +2\.0 s$/m);
    // A record of the backlog that comes late does not replace a newer value.
    expect(text).toMatch(/^ +parts +13 +good +1\.0 s$/m);
    expect(text).toMatch(/^vibration-1 +rms +2\.75 mm\/s +good +1\.5 s$/m);
    expect(text).toMatch(/^meter-1 +voltage +… V$/m);
    expect(text).toContain("missing   0   gaps told 0   sensor 3 acknowledged, 2 arrived");
    expect(text).toContain("pid 123456, restarts 2");
  });

  it("colours only where asked", () => {
    expect(renderScreen(model(), facts).join("")).not.toContain("\x1b[");
    expect(renderScreen(model(), { ...facts, colour: true }).join("")).toContain("\x1b[32m");
  });

  it("says when the first plant values came, and the rest in one line", () => {
    const seen = model();
    expect(renderFirst(seen)).toBe(
      "first plant values at the upstream after 3.2 s: press-1 oil-temperature 42.13 °C, press-1 parts 13, press-1 running true",
    );
    expect(renderLine(seen, facts)).toBe(
      "1:01  upstream UNREACHABLE, back in 12 s  backlog ?  received 5  duplicates 0  missing 0  gaps 0  sensor 2 of 3",
    );
  });

  it("counts what is missing at the receiver, from the chain's first record on", () => {
    const seen = new DemoModel(shownDevices(false));
    const { payload } = enveloped(4, 3);
    seen.message("x", payload, {}, false, { nowMs: 1, sinceStartMs: 1 });
    expect(seen.verdict()).toMatchObject({ missingRanges: 1 });
    expect(seen.firstValueMs).toBeUndefined();
    expect(arrived(seen)).toBe(0);
  });
});
