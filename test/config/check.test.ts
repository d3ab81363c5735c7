import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runCheck } from "../../gateway/cli/check.ts";
import type { CliIo } from "../../gateway/cli/io.ts";
import { folderWith } from "./support.ts";

const ROOT = join(import.meta.dirname, "../..");
const EXAMPLES = readdirSync(join(ROOT, "examples")).filter((name) => name.endsWith(".yaml"));

async function check(args: string[], cwd: string, tty = false): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const io: CliIo = {
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    tty,
    columns: 80,
    signal: new AbortController().signal,
    env: { MILLRACE_CLOUD_PASSWORD: "hunter2" },
    execPath: "node",
    argv1: "main.js",
    cwd,
  };
  const code = await runCheck(args, io);
  return { code, out: out.join(""), err: err.join("") };
}

describe("millrace check", () => {
  it.each(EXAMPLES)("examples/%s is right and planned", async (name) => {
    const { code, out, err } = await check(["--json", `examples/${name}`], ROOT);
    expect([code, err]).toEqual([0, ""]);
    const report = JSON.parse(out);
    expect(report.ok).toBe(true);
    for (const link of report.links)
      for (const group of link.groups)
        expect(group.requests.length + group.unasked.length + group.derived.length).toBeGreaterThan(0);
    expect(out).not.toContain("hunter2");
  });

  it("has at least the three examples", () => expect(EXAMPLES.length).toBeGreaterThanOrEqual(3));

  it("prints plan, load and buffer for people, without colour when it is no terminal", async () => {
    const { code, out } = await check(["examples/rs485-line.yaml"], ROOT);
    expect(code).toBe(0);
    expect(out).toMatch(/^link rs485-1 {2}modbus, 5 devices, 19 tags, bus load \d+\.\d %$/m);
    expect(out).toMatch(/^ {2}meter-1 {2}every 1 s +telemetry +input 52\.\.53.*1 tag +\d+\.\d ms$/m);
    expect(out).toMatch(
      /^buffer: 2 GiB on disk, about \d+ (h|d|years) at \d+ samples\/s \([\d.]+ records\/s of about \d+ bytes\)$/m,
    );
    expect(out).toMatch(/^disk: .*\/data, .* free now$/m);
    expect(out).not.toContain("\u001b");
    expect((await check(["examples/rs485-line.yaml"], ROOT, true)).out).toContain("\u001b");
  });

  it("estimates the buffer from the record format", async () => {
    const folder = folderWith(`gateway: { id: gw }
queue: { maxBytes: 1GiB }
links:
  - name: plc
    driver: modbus
    transport: { type: tcp, host: 192.0.2.1 }
    devices:
      - { name: d, unit: 1, tags: [{ name: a, address: "holding:0", type: uint16, every: 100ms }] }
`);
    const { buffer } = JSON.parse((await check(["--json"], folder)).out);
    expect(buffer.samplesPerSecond).toBe(10);
    expect(buffer.recordsPerSecond).toBe(10);
    expect(buffer.bytesPerRecord).toBeGreaterThan(40);
    expect(buffer.bytesPerRecord).toBeLessThan(90);
    expect(buffer.seconds).toBeCloseTo(1024 ** 3 / (10 * buffer.bytesPerRecord), 0);
  });

  it("warns of a line that has no time left", async () => {
    const tags = Array.from(
      { length: 20 },
      (_, i) => `{ name: t${i}, address: "holding:${i * 100}", type: uint16, every: 200ms }`,
    );
    const folder = folderWith(`gateway: { id: gw }
links:
  - name: slow
    driver: modbus
    transport: { type: rtu, path: /dev/ttyUSB0, baud: 9600 }
    devices:
      - { name: d, unit: 1, tags: [${tags.join(", ")}] }
`);
    const { code, out } = await check([], folder);
    expect(code).toBe(0);
    expect(out).toMatch(
      /^warning: millrace\.yaml:3:5: links\[0\]: slow: \d+ % busy; tag d\/t0 cannot be read every 200 ms, the best is \d+ ms \(19 more with it\); read [\d.]+ times less often \("every"\), or set the line and its units to \d+ baud/m,
    );
  });

  it("exits with 78 and one line per fault, or the same as JSON", async () => {
    const folder = folderWith("gateway: { id: gw }\nhttp: { prt: 1 }\n");
    const plain = await check(["-c", "millrace.yaml"], folder);
    expect(plain).toEqual({
      code: 78,
      out: "",
      err: 'millrace.yaml:2:9: http: unknown key "prt"; did you mean "port"?\n',
    });
    const json = await check(["--json"], folder);
    expect(json.code).toBe(78);
    expect(JSON.parse(json.out)).toEqual({
      ok: false,
      file: "millrace.yaml",
      faults: [
        { file: "millrace.yaml", line: 2, column: 9, path: "http", message: 'unknown key "prt"; did you mean "port"?' },
      ],
    });
  });

  it("exits with 66 when there is no file and with 64 when it is asked wrongly", async () => {
    expect((await check(["nowhere.yaml"], ROOT)).code).toBe(66);
    expect((await check(["--colour"], ROOT)).code).toBe(64);
    expect((await check(["a.yaml", "b.yaml"], ROOT)).code).toBe(64);
  });

  it("prints its help, with an example", async () => {
    const { code, out } = await check(["--help"], ROOT);
    expect(code).toBe(0);
    expect(out).toContain("Example: millrace check ");
  });

  it("prints the JSON Schema that is shipped", async () => {
    const { code, out } = await check(["--schema"], ROOT);
    expect(code).toBe(0);
    expect(out).toBe(readFileSync(join(ROOT, "schema/millrace.schema.json"), "utf8"));
  });
});
