import { writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { RegisterMap } from "../../drivers/modbus/simulator/registers.ts";
import { SimulatedUnit } from "../../drivers/modbus/simulator/server.ts";
import { SimulatedTcpServer } from "../../drivers/modbus/simulator/tcp-server.ts";
import { runGuess } from "../../gateway/cli/guess.ts";
import type { CliIo } from "../../gateway/cli/io.ts";
import { runRead } from "../../gateway/cli/read.ts";
import { runScan } from "../../gateway/cli/scan.ts";
import { runWrite } from "../../gateway/cli/write.ts";
import { loadConfig } from "../../gateway/config/load.ts";
import { type Logger, silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { Errands } from "../../gateway/errands.ts";
import { ControlServer } from "../../gateway/http/control.ts";
import { lineTools } from "../../gateway/line-tools.ts";
import { Link } from "../../gateway/southbound/link.ts";
import { SystemClock } from "../../gateway/system/clock.ts";
import { testIo } from "./io.ts";

const tools = lineTools();
const COMMANDS = { read: runRead, write: runWrite, scan: runScan, guess: runGuess };

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(
  cwd: string,
  command: keyof typeof COMMANDS,
  args: string[],
  over: Partial<CliIo> = {},
): Promise<Ran> {
  const io = testIo({ cwd, ...over });
  const code = await COMMANDS[command](args, io, tools);
  return { code, out: io.stdout(), err: io.stderr() };
}

/** A unit 1 with values, and a unit 7 that says what it is. */
async function plant() {
  const registers = new RegisterMap();
  registers.set("holding", 0, [0xdf3b, 0x41b5]);
  registers.set("holding", 10, [40]);
  registers.set("holding", 20, [1, 0, 0, 1]);
  registers.set("input", 50, [0xfed4]);
  registers.set("coil", 3, [1]);
  const first = new SimulatedUnit(1, registers);
  const second = new SimulatedUnit(7);
  second.identity = { vendor: "Acme", product: "EM-24", revision: "2.1", model: "DIN", serverId: "EM24" };
  const server = new SimulatedTcpServer("127.0.0.1", 0, [first, second]);
  await server.start();
  onTestFinished(() => server.stop());
  const tcp = `127.0.0.1:${server.address.port}`;
  return { server, first, second, registers, tcp };
}

type Plant = Awaited<ReturnType<typeof plant>>;

async function home({ server }: Plant): Promise<string> {
  const cwd = await mkdtemp(join(tmpdir(), "millrace-lines-"));
  onTestFinished(() => rm(cwd, { recursive: true }));
  writeFileSync(
    join(cwd, "millrace.yaml"),
    `gateway: { id: shop, dataDir: ./data }
links:
  - name: plc
    driver: modbus
    transport: { type: tcp, host: 127.0.0.1, port: ${server.address.port} }
    timeout: 200ms
    devices:
      - name: press-1
        unit: 1
        tags:
          - { name: temperature, address: "holding:0", type: float32, order: CDAB, unit: "°C" }
          - { name: setpoint, address: "holding:10", type: uint16, writable: { min: 0, max: 300, maxStep: 100 } }
          - { name: total, address: "holding:20", type: uint64 }
          - { name: running, address: "coil:3", type: bool, writable: true }
      - name: drive-1
        unit: 7
        tags:
          - { name: speed, address: "holding:0", type: uint16, scale: 0.1, writable: { max: 60 } }
          - { name: mode, address: "holding:1", type: uint16, enum: { 0: stopped, 1: running }, writable: true }
        derived: [ { name: double, expr: "speed * 2" } ]
`,
  );
  return cwd;
}

interface Line {
  readonly fields: object;
  readonly message: string;
}

/** The links of that configuration polled, with a control socket, as a running gateway has them. */
async function gateway(cwd: string): Promise<Line[]> {
  const config = await loadConfig("millrace.yaml", { cwd });
  const lines: Line[] = [];
  const log: Logger = { ...silentLogger, info: (fields, message) => lines.push({ fields, message }), child: () => log };
  const clock = new SystemClock();
  const links = config.links.map(
    ({ name, driver, options, devices }) =>
      new Link({
        name,
        driver: () => driver.create(options, { link: name, clock, log: silentLogger, metrics: noMetrics }),
        devices,
        clock,
        log: silentLogger,
        metrics: noMetrics,
        emit: () => {},
      }),
  );
  for (const link of links) await link.start();
  await mkdir(config.gateway.dataDir, { recursive: true });
  const control = new ControlServer({
    dataDir: config.gateway.dataDir,
    gatewayId: "shop",
    inspector: () => {
      throw new Error("not asked for");
    },
    encode: () => "",
    log: silentLogger,
    errands: new Errands(config, () => links, log),
  });
  await control.start();
  onTestFinished(async () => {
    await control.stop();
    await Promise.all(links.map((link) => link.stop()));
  });
  await vi.waitFor(() => expect(links.map((link) => link.status().state)).toEqual(["connected"]));
  return lines;
}

describe.each(["direct", "gateway"] as const)("a configuration, %s", (via) => {
  async function there() {
    const one = await plant();
    const cwd = await home(one);
    const log = via === "gateway" ? await gateway(cwd) : [];
    return { ...one, cwd, log };
  }

  it("reads tags, whole devices and addresses that are not configured", async () => {
    const { cwd, server } = await there();
    expect(await run(cwd, "read", ["press-1/temperature"])).toMatchObject({
      code: 0,
      out: "press-1/temperature  22.734 °C\n",
    });
    const all = await run(cwd, "read", ["press-1", "--json"]);
    expect(JSON.parse(all.out)).toMatchObject([
      { name: "press-1/temperature", link: "plc", via, quality: "good", unit: "°C" },
      { name: "press-1/setpoint", value: 40 },
      { name: "press-1/total", value: 281_474_976_710_657 },
      { name: "press-1/running", value: true },
    ]);
    expect(await run(cwd, "read", ["press-1/holding:20", "--count", "4"])).toMatchObject({ code: 0 });
    expect(await run(cwd, "read", ["input:50", "--type", "int16", "--unit", "1"])).toMatchObject({
      code: 0,
      out: "unit 1 input:50  -300\n",
    });
    // The gateway's own connection serves everything.
    expect(server.connections).toBeLessThanOrEqual(1);
  });

  it("says what is bad, and why", async () => {
    const { cwd, first } = await there();
    expect(await run(cwd, "read", ["press-1/holding:500"])).toMatchObject({
      code: 1,
      out: "press-1/holding:500  bad  illegal data address\n",
    });
    expect((await run(cwd, "read", ["holding:0", "--unit", "9", "--timeout", "60ms"])).out).toContain("did not answer");
    first.silent = true;
    const { code, out } = await run(cwd, "read", ["press-1/setpoint"]);
    expect(code).toBe(1);
    expect(out).toMatch(/^press-1\/setpoint {2}bad {2}unit 1 did not answer within \d+ ms\n$/);
  });

  it("writes within the limits, reads back, and tells who did it", async () => {
    const { cwd, registers, log } = await there();
    expect(await run(cwd, "write", ["press-1/setpoint=42", "press-1/running=off"])).toMatchObject({
      code: 0,
      out: "press-1/setpoint  40 -> 42       written and read back\npress-1/running   true -> false  written and read back\n",
    });
    expect(registers.read("holding", 10, 1, 0)).toEqual([42]);
    expect(registers.read("coil", 3, 1, 0)).toEqual([0]);
    if (via === "direct") return;
    expect(log).toContainEqual({
      fields: expect.objectContaining({
        device: "press-1",
        tag: "setpoint",
        before: 40,
        after: 42,
        ok: true,
        by: `local user ${tools.user} by control socket`,
      }),
      message: "tag written by hand",
    });
  });

  it("reads and writes in the units and words of the configuration", async () => {
    const { cwd, second } = await there();
    second.registers.set("holding", 0, [215, 0]);
    expect(await run(cwd, "read", ["drive-1"])).toMatchObject({
      code: 0,
      out: 'drive-1/speed  21.5\ndrive-1/mode   "stopped"\n',
    });
    expect(await run(cwd, "write", ["drive-1/speed=50.5", "drive-1/mode=running"])).toMatchObject({
      code: 0,
      out: 'drive-1/speed  21.5 -> 50.5            written and read back\ndrive-1/mode   "stopped" -> "running"  written and read back\n',
    });
    expect(second.registers.read("holding", 0, 2, 0)).toEqual([505, 1]);
    expect((await run(cwd, "write", ["drive-1/speed=505"])).err).toContain("505 is above the greatest, 60");
    const odd = await run(cwd, "write", ["drive-1/mode=dancing"]);
    expect(odd.code).toBe(1);
    expect(odd.out).toContain("NOT written as asked");
    expect((await run(cwd, "read", ["drive-1/double"])).err).toContain("is worked out by the gateway from other tags");
    expect(second.registers.read("holding", 0, 2, 0)).toEqual([505, 1]);
  });

  it.each([
    ["press-1/setpoint=400", 1, "press-1/setpoint: 400 is above the greatest, 300"],
    ["press-1/setpoint=200", 1, "press-1/setpoint: a step of 160 from 40; at most 100 at once"],
    [
      "press-1/temperature=20",
      1,
      'press-1/temperature is not marked writable; add "writable: true" to the tag in millrace.yaml',
    ],
    [
      "press-1/holding:10=7",
      1,
      "press-1/holding:10 is not a tag: through a configuration only tags marked writable are written",
    ],
    ["press-1/setpoint=hot", 64, 'press-1/setpoint is a uint16: write a number, not "hot"'],
    ["press-1/running=2", 64, "press-1/running is a bool: write true or false"],
    ["press-1=2", 64, "press-1 is a whole device"],
    ["press-1/setpont=2", 64, 'device press-1 has no tag "setpont"; did you mean setpoint?'],
    ["press-2/setpoint=2", 64, 'there is no device "press-2"; did you mean press-1?'],
  ])("refuses %s", async (text, code, message) => {
    const { cwd, registers } = await there();
    const ran = await run(cwd, "write", [text]);
    expect(ran.err).toContain(message);
    expect(ran.code).toBe(code);
    expect(registers.read("holding", 10, 1, 0)).toEqual([40]);
  });

  it("asks at a terminal, and writes nothing without a yes", async () => {
    const { cwd, registers } = await there();
    const asked: string[] = [];
    const answerTo = (answer: string) => ({
      answerTo: (question: string) => {
        asked.push(question);
        return Promise.resolve(answer);
      },
    });
    const no = await run(cwd, "write", ["press-1/setpoint=41"], answerTo(""));
    expect(no).toMatchObject({ code: 1, err: expect.stringContaining("press-1/setpoint: 40 -> 41\n") });
    expect(registers.read("holding", 10, 1, 0)).toEqual([40]);
    expect(await run(cwd, "write", ["press-1/setpoint=41"], answerTo("y"))).toMatchObject({ code: 0 });
    expect(await run(cwd, "write", ["press-1/setpoint=43", "--yes"], answerTo("n"))).toMatchObject({ code: 0 });
    expect(registers.read("holding", 10, 1, 0)).toEqual([43]);
    expect(asked).toHaveLength(2);
  });

  it("says that a write without an answer may have been done, and sends it once", async () => {
    const { cwd, server, registers } = await there();
    let commands = 0;
    let deaf = false;
    server.tamper = ({ functionCode }) => {
      if (functionCode === 6) {
        commands++;
        deaf = true;
      }
      return deaf ? { chunks: [] } : undefined;
    };
    const ran = await run(cwd, "write", ["press-1/setpoint=44"]);
    expect(ran.out + ran.err).toContain("it may have been written");
    expect(ran.code).toBe(1);
    expect(commands).toBe(1);
    expect(registers.read("holding", 10, 1, 0)).toEqual([44]);
  });

  it("guesses an address of a device, through its neighbours where it is refused", async () => {
    const { cwd } = await there();
    const args = ["--samples", "2", "--interval", "1ms", "--expect", "22.734", "--json"];
    const right = await run(cwd, "guess", ["press-1/holding:0", ...args]);
    expect(right.code).toBe(0);
    const { address, found, candidates } = JSON.parse(right.out);
    expect({ address, found }).toEqual({ address: "holding:0", found: true });
    expect(candidates[0]).toMatchObject({
      rank: 1,
      type: "float32",
      order: "CDAB",
      exact: true,
      config: '- { name: NAME, address: "holding:0", type: float32, order: CDAB }',
    });
    const input = await run(cwd, "guess", ["press-1/holding:50", ...args.slice(0, 4), "--expect", "-30.0"]);
    expect(input.code).toBe(1);
    expect(input.err).toContain("the unit refuses holding:50: illegal data address");
    expect(input.err).toContain('- { name: NAME, address: "input:50", type: int16, scale: 0.1 }');
    const before = await run(cwd, "guess", ["press-1/holding:11", ...args.slice(0, 4), "--expect", "40"]);
    expect(before.err).toContain("holding:10 (one before) fits: uint16");
    expect((await run(cwd, "guess", ["press-1/coil:3"])).err).toContain("is one bit: its type is bool");
  });
});

describe("a line that is named", () => {
  it("is read and written without a configuration", async () => {
    const { tcp, registers } = await plant();
    const line = ["--tcp", tcp, "--unit", "1"];
    expect(await run("/", "write", ["holding:10=-5", "--type", "int16", ...line])).toMatchObject({
      code: 0,
      out: "unit 1 holding:10  40 -> -5  written and read back\n",
    });
    expect(registers.read("holding", 10, 1, 0)).toEqual([0xfffb]);
    expect(await run("/", "read", ["40011", "--type", "int16", ...line])).toMatchObject({
      code: 0,
      out: "unit 1 holding:10  -5\n",
    });
  });

  it.each([
    [["holding:0"], "there is no millrace.yaml here; name the configuration with --config FILE, or the line itself"],
    [["holding:0", "--tcp", "127.0.0.1:1"], "which unit is holding:0 of? Add --unit 1"],
    [["holding:0", "--tcp", "a", "--rtu", "b", "--unit", "1"], "--tcp and --rtu: one of them"],
    [["holding:0", "--tcp", "a:99999", "--unit", "1"], "is not a port"],
    [["holding:0", "--tcp", "a", "--baud", "9600", "--unit", "1"], "--baud is for a serial port"],
    [["holding:70000", "--tcp", "a", "--unit", "1"], "the last address of an area is 65535"],
    [["holding:0", "--tcp", "a", "--unit", "1", "--type", "float"], "a type is one of"],
    [["setpoint", "--tcp", "a", "--unit", "1"], '"setpoint" is not an address'],
  ])("is refused: %j", async (args, message) => {
    const cwd = await mkdtemp(join(tmpdir(), "millrace-lines-"));
    onTestFinished(() => rm(cwd, { recursive: true }));
    const ran = await run(cwd, "read", args);
    expect(ran.err).toContain(message);
    expect(ran.code).toBe(64);
  });

  it("says that nobody is there", async () => {
    const { server, tcp } = await plant();
    await server.stop();
    const ran = await run("/", "read", ["holding:0", "--tcp", tcp, "--unit", "1"]);
    expect(ran).toMatchObject({ code: 69, err: expect.stringContaining("ECONNREFUSED") });
  });
});
