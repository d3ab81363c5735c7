import { describe, expect, it } from "vitest";
import type { Device } from "../../gateway/core/driver.ts";
import type { Sample } from "../../gateway/core/sample.ts";
import { LogLines } from "../../gateway/system/log-lines.ts";
import { maskSecrets } from "../../gateway/views/config-work.ts";
import { lineDiff } from "../../gateway/views/diff.ts";
import { LiveTags, stepsFor } from "../../gateway/views/live.ts";
import { Rates } from "../../gateway/views/rates.ts";

function device(tags: readonly string[]): Device {
  const made = tags.map((name) => ({
    name,
    everyMs: 1000,
    stream: "telemetry" as const,
    type: "float64",
    options: {},
  }));
  return { name: "d", link: "l", topic: "t", tags: made, options: {} };
}

function scan(wallMs: number, ...samples: Partial<Sample>[]) {
  const whole = samples.map((sample): Sample => ({ tag: "a", quality: "good", monoMs: 0, ...sample }));
  return {
    device: device([]),
    group: "1000ms",
    stream: "telemetry" as const,
    everyMs: 1000,
    taken: { wallMs, monoMs: 0, clock: "synced" as const },
    samples: whole,
    tags: [],
  };
}

describe("LiveTags", () => {
  it("gives all at first and then only what changed", () => {
    const live = new LiveTags([device(["a", "b"])], () => 0);
    live.take(scan(1000, { value: 1 }));
    const first = live.changed("d", 0);
    expect(first.tags).toEqual([
      { tag: "a", value: 1, quality: "good", at: 1000 },
      { tag: "b", value: null, quality: "none" },
    ]);
    expect(live.changed("d", first.mark).tags).toEqual([]);
    live.take(scan(2000, { tag: "b", quality: "bad", reason: "timeout" }));
    expect(live.changed("d", first.mark).tags).toEqual([
      { tag: "b", value: null, quality: "bad", reason: "timeout", at: 2000 },
    ]);
    expect(live.bad("d")).toBe(1);
    expect(live.states("nobody")).toBeUndefined();
  });

  it("holds the last hour: extremes of each step, the value that stood, nothing while it was bad", () => {
    const hour = 3_600_000 * 400;
    let now = hour;
    const live = new LiveTags([device(["a"])], () => now);
    const at = (ms: number, sample: Partial<Sample>) => {
      now = hour + ms;
      live.take(scan(now, sample));
    };
    at(0, { value: 5 });
    at(1000, { value: 1 });
    at(2000, { value: 9 });
    at(20_000, { value: 3 });
    at(30_000, { quality: "bad" });
    at(45_000, { value: true });
    now = hour + 59_000;
    const found = live.history("d", "a");
    expect(found?.stepMs).toBe(5000);
    expect(found?.min).toHaveLength(720);
    expect(found?.from).toBe(hour + 60_000 - 3_600_000);
    const row = (values: readonly (number | null)[] = []) => values.slice(-12);
    expect(row(found?.min)).toEqual([1, 9, 9, 9, 3, 3, 3, null, null, 1, 1, 1]);
    expect(row(found?.max)).toEqual([9, 9, 9, 9, 9, 3, 3, null, null, 1, 1, 1]);
    // An hour later nothing of it is there but what still stands.
    now += 3_600_000;
    expect(new Set(live.history("d", "a")?.max)).toEqual(new Set([1]));
  });

  it("takes a sample from before the last look, and a clock that was set back", () => {
    const hour = 3_600_000 * 400;
    let now = hour + 10_000;
    const live = new LiveTags([device(["a"])], () => now);
    live.take(scan(now - 5000, { value: 1 }));
    live.history("d", "a");
    live.take(scan(now - 4000, { value: 7 }));
    expect(live.history("d", "a")?.max.slice(-2)).toEqual([7, 1]);
    now -= 86_400_000;
    live.take(scan(now, { value: 2 }));
    expect(live.history("d", "a")?.max.filter((value) => value !== null)).toEqual([2]);
  });

  it("is bounded by the number of tags: 32 MiB up to 34,952 of them, and never coarser than a minute", () => {
    for (const tags of [1, 100, 2_900, 5_000, 34_952]) {
      expect(stepsFor(tags) * 16 * tags).toBeLessThanOrEqual(32 * 1024 * 1024);
    }
    expect([stepsFor(1), stepsFor(5_000), stepsFor(1_000_000)]).toEqual([720, 419, 60]);
  });
});

describe("Rates", () => {
  it("are per second, whatever the timer does", () => {
    const now = { taken: 0, settled: 0 };
    const rates = new Rates(() => ({ ...now }));
    rates.tick(0);
    for (let second = 1; second <= 200; second++) {
      now.taken += 20;
      now.settled += 10;
      rates.tick(second * 2000);
    }
    const { inPerSecond, outPerSecond, historyIn } = rates.view();
    expect([inPerSecond, outPerSecond, historyIn.length]).toEqual([10, 5, 120]);
  });
});

describe("secrets", () => {
  it.each([
    ["uplinks: [ { password: hunter2 } ]"],
    ["a:\n  passwordFile: hunter2\n  token: hunter2 # hunter2-not\n".replace(" # hunter2-not", "")],
    ['a: { url: "mqtt://user:hunter2@broker:1883" }'],
    ["a:\n  password: |\n    hunter2\n    more\nb: 1\n"],
    ["a:\n  password: >-\n    hunter2\n"],
    ["a:\n  secret: &x hunter2\n"],
    ["a:\n  secret: !!str hunter2\n"],
    ["a: 1\n# password: hunter2\n"],
    ['a: { "apiToken": "hunter2" }'],
    ["a: {\n  password: 'hunter2',\n"],
    ["broken: [\npassword: hunter2\n"],
    ["cloud-credential: hunter2\n# credentials: hunter2\n"],
    ["a:\n  passphrase:\n    hunter2\n"],
  ])("are masked in %j", (text) => {
    const { text: left, masked } = maskSecrets(text);
    expect(left).not.toContain("hunter2");
    expect(left).toContain("[secret]");
    expect(masked).toBeGreaterThan(0);
  });

  it("that are only named stay, and so does the rest", () => {
    const text =
      "uplinks:\n  - { password: { env: MQTT_PASSWORD }, url: 'mqtt://broker', key: key.pem }\n  - password: { file: p }\n  - { password: { credential: cloud-password } }\n  # password: { credential: other }\n";
    expect(maskSecrets(text)).toEqual({ text, masked: 0 });
  });

  it("are not in the lines of the log that are shown", () => {
    const lines = new LogLines();
    const line = {
      level: "warn",
      time: 1,
      setupToken: "hunter2",
      deep: { password: "hunter2", list: [{ cookie: "hunter2" }] },
      url: "mqtts://me:hunter2@broker:8883/x",
      error: `401 for Bearer hunter2hunter2, mr_${"a".repeat(12)}_${"h".repeat(43)}`,
      msg: "at amqp://x:hunter2@host",
      tag: "<script>",
    };
    lines.write(`${JSON.stringify(line)}\n`);
    const shown = JSON.stringify(lines.since({ after: 0, limit: 9, level: "debug" }));
    expect(shown).not.toContain("hunter2");
    expect(shown).not.toContain("hhhh");
    expect(shown).toContain("mqtts://[secret]@broker:8883/x");
    expect(shown).toContain("<script>");
  });
});

describe("LogLines", () => {
  it("holds the last lines, bounded, numbered, by level", () => {
    const lines = new LogLines();
    for (let n = 1; n <= 5000; n++) {
      lines.write(`${JSON.stringify({ level: n % 2 ? "info" : "error", time: n, msg: `line ${n}` })}\n`);
    }
    lines.write(`{"level":"info","msg":"${"x".repeat(100_000)}"}`);
    const all = lines.since({ after: 0, limit: 10_000, level: "debug" });
    expect(all.lines.length).toBeLessThanOrEqual(2000);
    expect(all.lines.at(-1)).toMatchObject({ n: 5001, message: "a line that is too long to be shown" });
    const errors = lines.since({ after: 4990, limit: 3, level: "error" });
    expect(errors.lines.map(({ n }) => n)).toEqual([4996, 4998, 5000]);
    expect(lines.since({ after: 10, limit: 1, level: "debug" }).lost).toBeGreaterThan(2900);
  });
});

describe("lineDiff", () => {
  it("has all lines with the fewest changes, numbered on both sides", () => {
    expect(lineDiff("a\nb\nc\nd", "a\nx\nc\nd\ne")).toEqual({
      added: 2,
      removed: 1,
      lines: [
        { kind: "same", text: "a", before: 1, after: 1 },
        { kind: "removed", text: "b", before: 2 },
        { kind: "added", text: "x", after: 2 },
        { kind: "same", text: "c", before: 3, after: 3 },
        { kind: "same", text: "d", before: 4, after: 4 },
        { kind: "added", text: "e", after: 5 },
      ],
    });
    expect(lineDiff("a", "a")).toMatchObject({ added: 0, removed: 0 });
  });

  it("gives up on the fewest where that would take long, and stays right", () => {
    const many = (letter: string) => Array.from({ length: 5000 }, (_, n) => `${letter}${n}`).join("\n");
    const { added, removed, lines } = lineDiff(`same\n${many("a")}`, `same\n${many("b")}`);
    expect([added, removed, lines.length]).toEqual([5000, 5000, 10_001]);
  });
});
