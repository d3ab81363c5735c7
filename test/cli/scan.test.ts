import { describe, expect, it, onTestFinished } from "vitest";
import { SimulatedRtuServer } from "../../drivers/modbus/simulator/rtu-server.ts";
import { SimulatedUnit } from "../../drivers/modbus/simulator/server.ts";
import { SimulatedTcpServer } from "../../drivers/modbus/simulator/tcp-server.ts";
import { SimulatedUdpServer } from "../../drivers/modbus/simulator/udp-server.ts";
import { asciiWire, mbapWire, rtuWire } from "../../drivers/modbus/simulator/wires.ts";
import { runScan } from "../../gateway/cli/scan.ts";
import { lineTools } from "../../gateway/line-tools.ts";
import { ptyPair } from "../drivers/modbus/pty.ts";
import { testIo } from "./io.ts";

const tools = lineTools();

function units(): SimulatedUnit[] {
  const plain = new SimulatedUnit(2);
  plain.registers.set("holding", 0, [7]);
  const named = new SimulatedUnit(5);
  named.identity = {
    vendor: "Acme",
    product: "EM-24",
    revision: "2.1",
    productName: "Meter",
    model: "DIN",
    serverId: "EM24",
  };
  return [plain, named];
}

async function scan(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = testIo();
  const code = await runScan(args, io, tools);
  return { code, out: io.stdout(), err: io.stderr() };
}

/** Unit 1 is not there. */
const RANGE = ["--units", "1,2,5", "--timeout", "250ms"];

const NAMED = "unit 5    Acme, EM-24, 2.1, Meter, DIN, server id EM24, running (answered: exception 2)\n";
/** The simulator's ASCII does not read a question as short as that for the server id. */
const WITHOUT_ID = NAMED.replace(", server id EM24, running", "");

describe("millrace scan", () => {
  it.each([
    ["tcp", mbapWire, NAMED],
    ["rtu-over-tcp", rtuWire, NAMED],
    ["ascii-over-tcp", asciiWire, WITHOUT_ID],
  ] as const)("finds who answers, data or exception, on %s", async (type, wire, named) => {
    const server = new SimulatedTcpServer("127.0.0.1", 0, units(), wire);
    await server.start();
    onTestFinished(() => server.stop());
    const at = `127.0.0.1:${server.address.port}`;
    const { code, out } = await scan(`--${type}`, at, ...RANGE);
    expect(out).toBe(`unit 2    does not say what it is\n${named}${at}: 2 units of 3 asked\n`);
    expect(code).toBe(0);
  });

  it("finds them on udp", async () => {
    const server = new SimulatedUdpServer("127.0.0.1", 0, units());
    await server.start();
    onTestFinished(() => server.stop());
    const { out } = await scan("--udp", `127.0.0.1:${server.address.port}`, ...RANGE, "--json");
    expect(JSON.parse(out)).toMatchObject([
      {
        asked: 3,
        units: [
          { unit: 2, answer: "data" },
          { unit: 5, objects: { vendor: "Acme" } },
        ],
      },
    ]);
  });

  it("finds them on a serial line, and who has the port", async () => {
    const pair = await ptyPair();
    onTestFinished(() => pair.stop());
    const line = { type: "rtu", path: pair.b, baud: 115_200, parity: "none", dataBits: 8 } as const;
    const server = new SimulatedRtuServer(line, units());
    await server.start();
    onTestFinished(() => server.stop());
    const { code, out } = await scan("--rtu", pair.a, "--baud", "115200", "--parity", "none", ...RANGE);
    expect(out).toBe(
      `unit 2    does not say what it is\n${NAMED}${pair.a} at 115200 baud, no parity: 2 units of 3 asked\n`,
    );
    expect(code).toBe(0);
    const busy = await scan("--rtu", pair.b, ...RANGE);
    expect(busy.code).toBe(69);
    expect(busy.err).toMatch(/lock|in use/);
  });

  it("tries the usual settings until somebody answers", async () => {
    const pair = await ptyPair();
    onTestFinished(() => pair.stop());
    const server = new SimulatedRtuServer(
      { type: "rtu", path: pair.b, baud: 9600, parity: "even", dataBits: 8 },
      units(),
    );
    await server.start();
    onTestFinished(() => server.stop());
    // A pseudo-terminal has no speed: the server is deaf for the first two settings.
    const deaf = server.unit(2);
    if (!deaf) throw new Error("no unit 2");
    let asked = 0;
    server.tamper = () => (++asked <= 2 ? { chunks: [] } : undefined);
    const { out, code } = await scan("--rtu", pair.a, "--try", "--units", "2", "--timeout", "250ms", "--json");
    const rounds: { setting: string; units: unknown[] }[] = JSON.parse(out);
    expect(rounds.map(({ units: found }) => found.length)).toEqual([0, 0, 1]);
    expect(rounds[0]?.setting).toContain("9600 baud, no parity");
    expect(code).toBe(0);
  });

  it("does not take a gateway's word for a unit, but counts late answers", async () => {
    const [plain, named] = units();
    if (!plain || !named) throw new Error("no units");
    const server = new SimulatedTcpServer("127.0.0.1", 0, [plain, named, new SimulatedUnit(3)]);
    server.tamper = ({ unit, answer, functionCode }) => {
      if (unit === 3)
        return { chunks: [Buffer.concat([answer.subarray(0, 4), Buffer.of(0, 3, 3, functionCode | 0x80, 11)])] };
      return unit === 2 && functionCode === 3 ? { chunks: [answer], delayMs: 300 } : undefined;
    };
    await server.start();
    onTestFinished(() => server.stop());
    const { out } = await scan(
      "--tcp",
      `127.0.0.1:${server.address.port}`,
      "--units",
      "2-5",
      "--timeout",
      "250ms",
      "--json",
    );
    const [round] = JSON.parse(out);
    expect(round.units.map(({ unit }: { unit: number }) => unit).sort()).toEqual([2, 5]);
  });

  it("goes on where the far side hangs up, and says so", async () => {
    const server = new SimulatedTcpServer("127.0.0.1", 0, [...units(), new SimulatedUnit(3)]);
    server.tamper = ({ unit }) => {
      if (unit === 3) server.dropConnections();
      return undefined;
    };
    await server.start();
    onTestFinished(() => server.stop());
    const { out } = await scan("--tcp", `127.0.0.1:${server.address.port}`, "--units", "2,3,5", "--timeout", "250ms");
    expect(out).toContain("2 units of 3 asked");
    expect(out).toContain("the far side hung up when asked for unit 3");
  });

  it("tells noise from silence", async () => {
    const pair = await ptyPair();
    onTestFinished(() => pair.stop());
    const server = new SimulatedRtuServer(
      { type: "rtu", path: pair.b, baud: 9600, parity: "even", dataBits: 8 },
      units(),
    );
    server.tamper = ({ answer }) => ({ chunks: [Buffer.from(answer.map((byte) => byte ^ 0x55))] });
    await server.start();
    onTestFinished(() => server.stop());
    const { out, code } = await scan("--rtu", pair.a, "--units", "1-2", "--timeout", "60ms");
    expect(out).toContain(
      "bytes that are no answer came for unit 2: wrong speed or parity, noise, or two units with one id",
    );
    expect(code).toBe(1);
  });

  it("prints what was found when it is stopped", async () => {
    const [plain, named] = units();
    if (!plain || !named) throw new Error("no units");
    const server = new SimulatedTcpServer("127.0.0.1", 0, [plain, named, new SimulatedUnit(3)]);
    const io = testIo();
    server.tamper = ({ unit }) => {
      if (unit === 3) io.abort();
      return undefined;
    };
    await server.start();
    onTestFinished(() => server.stop());
    const code = await runScan(
      ["--tcp", `127.0.0.1:${server.address.port}`, "--timeout", "250ms", "--units", "2-5"],
      io,
      tools,
    );
    expect(io.stdout()).toContain("unit 2    does not say what it is\n");
    expect(io.stdout()).not.toContain("unit 5");
    expect(io.stderr()).toContain("stopped before its end");
    expect(code).toBe(0);
  });

  it.each([
    [["--tcp", "127.0.0.1", "--units", "9-3"], "is no list of unit ids"],
    [["--tcp", "127.0.0.1", "--try"], "--try is for a serial port"],
    [["--rtu", "/dev/null", "--baud", "fast"], '--baud "fast" is not a number'],
    [["--rtu", "/dev/null", "--parity", "mark"], "parity"],
    [["5"], "is not an option"],
  ])("refuses %j", async (args, message) => {
    const { code, err } = await scan(...args);
    expect(err).toContain(message);
    expect(code).toBe(64);
  });
});
