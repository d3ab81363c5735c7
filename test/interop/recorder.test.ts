import { execFileSync } from "node:child_process";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  freePort,
  millrace,
  needProgram,
  Process,
  ptyPair,
  root,
  scratch,
  startGateway,
  until,
} from "../support/processes.ts";

/**
 * A gateway polls a device whose values move; its recording is decoded by tshark, and then played to a gateway with the same
 * configuration, which must give the same samples.
 */

const tshark = needProgram("tshark", "tshark");
const python = needProgram("python3", "python3-pymodbus");
const home = scratch("recorder");
const cleanup: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const step of cleanup.reverse()) await step();
  home.remove();
});

const MBRTU = ["-o", 'uat:user_dlts:"User 0 (DLT=147)","mbrtu","0","","0",""'];
const SCANS = 40;

interface Sample {
  readonly tag: string;
  readonly value?: unknown;
  /** Why it is bad; a sample with a value is good. */
  readonly reason?: unknown;
}

function write(name: string, content: unknown): string {
  const file = join(home.path, name);
  writeFileSync(file, JSON.stringify(content));
  return file;
}

async function run(...args: string[]): Promise<{ code: number | string; out: string }> {
  const program = millrace(args);
  const code = await program.exited;
  await until("the end of its output", () => program.child.stdout?.readableEnded === true, 5_000);
  return { code, out: program.lines.join("\n") };
}

/** Starts a device and gives where it answers. */
async function device(...args: string[]): Promise<{ process: Process; address: string }> {
  const process = millrace(["simulate", ...args, "--json"]);
  cleanup.push(() => process.stop());
  return { process, address: JSON.parse(await process.line(/^\{"address"/)).address };
}

/** Samples of each device in their order, as they are in the queue. */
async function samplesOf(config: string): Promise<Map<string, Sample[]>> {
  const { code, out } = await run("queue", "export", "--stream", "telemetry", "--config", config);
  expect(code).toBe(0);
  const byDevice = new Map<string, Sample[]>();
  for (const line of out.split("\n").filter((each) => each.startsWith("{"))) {
    const { topic, values = {}, errors = {} } = JSON.parse(line);
    const good = Object.entries(values).map(([name, found]): Sample => ({ tag: name, value: found }));
    const bad = Object.entries(errors).map(([name, reason]): Sample => ({ tag: name, reason }));
    byDevice.set(topic, [...(byDevice.get(topic) ?? []), ...good, ...bad]);
  }
  return byDevice;
}

function decoded(file: string, filter: string, ...fields: string[]): string[] {
  const shown = fields.flatMap((field) => ["-e", field]);
  const args = ["-r", file, ...MBRTU, "-Y", filter, "-T", "fields", ...shown];
  return execFileSync(tshark, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
    .split("\n")
    .filter((line) => line !== "");
}

const value = (address: string, type: string, wave: string, period: string) => ({
  address,
  type,
  value: { wave, min: 0, max: type === "bool" ? 1 : 30_000, period },
});
const REGISTERS = [
  value("holding:0", "float32", "sine", "3s"),
  value("holding:10", "uint16", "counter", "50ms"),
  value("holding:11", "int32", "random", "70ms"),
  value("input:5", "uint16", "ramp", "2s"),
  value("coil:3", "bool", "toggle", "150ms"),
];
const tag = (name: string, address: string, type: string) => ({ name, address, type, every: "50ms" });
const TAGS = [
  tag("level", "holding:0", "float32"),
  tag("count", "holding:10", "uint16"),
  tag("noise", "holding:11", "int32"),
  tag("ramp", "input:5", "uint16"),
  tag("run", "coil:3", "bool"),
  tag("none", "holding:900", "uint16"),
];

async function configOf(name: string, transport: object): Promise<string> {
  return write(`${name}.json`, {
    gateway: { id: "test", dataDir: join(home.path, name) },
    queue: { minFree: "16MiB" },
    broker: { listeners: [{ port: await freePort() }] },
    http: { port: await freePort() },
    // Nobody is there: everything stays in the queue, where it can be looked at.
    uplinks: [{ name: "away", type: "mqtt", url: `mqtt://127.0.0.1:${await freePort()}` }],
    links: [
      {
        name: "line",
        driver: "modbus",
        transport,
        timeout: "500ms",
        devices: [
          { name: "press", unit: 1, tags: TAGS },
          { name: "oven", unit: 2, tags: TAGS },
        ],
      },
    ],
  });
}

async function polled(config: string, scans: number): Promise<Process> {
  const gateway = await startGateway(config);
  cleanup.push(() => gateway.stop());
  await until(
    `${scans} scans`,
    async () => {
      const samples = [...(await samplesOf(config)).values()];
      return samples.length === 2 && samples.every((own) => own.length >= scans * 5);
    },
    60_000,
  );
  return gateway;
}

/** A device of our own. */
async function simulated(kind: string, transport: object): Promise<Process> {
  const units = [1, 2].map((unit) => ({ unit, registers: REGISTERS }));
  return (await device(write(`${kind}-device.json`, { transport, units }))).process;
}

/** One that is not. */
async function pymodbus(port: number): Promise<Process> {
  const peer = new Process(python, [join(root, "test/interop/peers/moving-server.py"), String(port)]);
  cleanup.push(() => peer.stop());
  await peer.line(/^ready/);
  return peer;
}

interface Wire {
  readonly transport: object;
  readonly real: Process;
  readonly replay: string[];
}

async function roundTrip(kind: string, wire: Wire) {
  const { real } = wire;
  const config = await configOf(`${kind}-first`, wire.transport);
  const gateway = await polled(config, SCANS);
  const file = join(home.path, `${kind}.pcapng`);
  const recorded = await run("record", "line", "-o", file, "--config", config, "--json");
  expect(recorded).toMatchObject({ code: 0 });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  await gateway.stop();
  await real.stop();
  const first = await samplesOf(config);

  expect(decoded(file, "_ws.malformed", "frame.number")).toEqual([]);
  expect(decoded(file, "_ws.expert.severity >= 6291456", "_ws.expert.message")).toEqual([]);
  const codes = decoded(file, "modbus", "modbus.func_code");
  expect(new Set(codes)).toEqual(new Set(["1", "3", "4"]));
  expect(decoded(file, "modbus.exception_code", "modbus.exception_code").length).toBeGreaterThanOrEqual(2);

  const played = await device("--recording", file, ...wire.replay);
  const again = await configOf(`${kind}-second`, wire.transport);
  const second = await polled(again, SCANS - 10);
  await second.stop();
  const repeated = await samplesOf(again);
  expect(played.process.lines.filter((line) => line.includes("not in the recording"))).toEqual([]);
  await played.process.stop();

  let same = 0;
  for (const [name, samples] of first) {
    for (const { name: tagName } of TAGS) {
      const of = (all: readonly Sample[]) => all.filter((sample) => sample.tag === tagName);
      const was = of(samples);
      const is = of(repeated.get(name) ?? []);
      const both = Math.min(was.length, is.length, SCANS - 10);
      expect(is.slice(0, both), `${name} ${tagName}`).toEqual(was.slice(0, both));
      same += both;
    }
  }
  expect(same).toBeGreaterThan(2 * 5 * (SCANS - 12));
  return { file, frames: codes.length, same, packets: JSON.parse(recorded.out).packets };
}

describe("a recording", () => {
  it("of Modbus TCP decodes in tshark and plays the same samples again", async () => {
    const port = await freePort();
    const transport = { type: "tcp", host: "127.0.0.1", port };
    const { frames, packets, same, file } = await roundTrip("tcp", {
      transport,
      real: await simulated("tcp", transport),
      replay: ["--port", String(port)],
    });
    // All but the handshake.
    expect(frames).toBe(packets - 3);
    expect(decoded(file, "tcp.analysis.flags", "frame.number")).toEqual([]);
    process.stdout.write(`tcp: ${frames} Modbus frames, none malformed; ${same} samples the same\n`);
  });

  it("of a device on pymodbus decodes in tshark and plays the same samples again", async () => {
    const port = await freePort();
    const transport = { type: "tcp", host: "127.0.0.1", port };
    const replay = ["--port", String(port)];
    const { frames, same } = await roundTrip("pymodbus", { transport, real: await pymodbus(port), replay });
    process.stdout.write(`pymodbus: ${frames} Modbus frames, none malformed; ${same} samples the same\n`);
  });

  it("of Modbus RTU decodes in tshark and plays the same samples again", async () => {
    const line = await ptyPair(home.path);
    cleanup.push(() => line.stop());
    const settings = { type: "rtu", baud: 115_200, parity: "none" };
    const { frames, packets, same, file } = await roundTrip("rtu", {
      transport: { ...settings, path: line.a },
      real: await simulated("rtu", { ...settings, path: line.b }),
      replay: ["--path", line.b],
    });
    expect(frames).toBe(packets);
    expect(decoded(file, "mbrtu.crc16.status == 0", "frame.number")).toEqual([]);
    process.stdout.write(`rtu: ${frames} Modbus frames, none malformed; ${same} samples the same\n`);
  });

  it("is written by itself when a device stops answering", async () => {
    const port = await freePort();
    const transport = { type: "tcp", host: "127.0.0.1", port };
    // Unit 2 is not there.
    const units = [{ unit: 1, registers: REGISTERS }];
    const real = await device(write("dead-device.json", { transport, units }));
    const config = await configOf("dead", transport);
    const gateway = await startGateway(config);
    cleanup.push(() => gateway.stop());
    const line = await gateway.line(/recording of the line written/, 60_000);
    const { file, reason } = JSON.parse(line);
    expect(reason).toBe("oven does not answer");
    expect(readdirSync(join(home.path, "dead", "recordings"))).toHaveLength(1);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(decoded(file, "_ws.malformed", "frame.number")).toEqual([]);
    const asked = decoded(file, "modbus && mbtcp.unit_id == 2", "frame.number").length;
    expect(asked).toBeGreaterThan(1);
    await gateway.stop();
    await real.process.stop();
    process.stdout.write(`fault: ${reason}; ${asked} questions without an answer in ${file.split("/").at(-1)}\n`);
  });
});
