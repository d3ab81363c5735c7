import { z } from "zod";
import type { SimulatedDevice, Simulator, SimulatorModule } from "../../../gateway/core/driver.ts";
import { ConfigError, messageOf } from "../../../gateway/core/errors.ts";
import type { Logger } from "../../../gateway/core/log.ts";
import { isSerial, type NetTransport } from "../options.ts";
import { registersOf } from "./from-tags.ts";
import { type SimulatorOptions, settledSimulator, simulatorSchema } from "./options.ts";
import { RegisterMap } from "./registers.ts";
import { SimulatedUnit } from "./server.ts";
import { SimulatedTcpServer } from "./tcp-server.ts";
import { SimulatedUdpServer } from "./udp-server.ts";
import { asciiWire, mbapWire, rtuWire } from "./wires.ts";

/** Of a serial line, of what a profile tells about its device's interface. */
const LINE_KEYS = ["baud", "parity", "dataBits", "stopBits"];

/** A Modbus device in software: options as written in YAML, or as its schema parsed them. */
export const modbusSimulator: SimulatorModule = { schema: simulatorSchema, start, ofTags };

function ofTags({ unit, tags, link, at }: SimulatedDevice): Record<string, unknown> {
  const line = Object.fromEntries(Object.entries(link).filter(([key]) => LINE_KEYS.includes(key)));
  const transport = "path" in at ? { type: "rtu", path: at.path, ...line } : { type: "tcp", port: at.port };
  return { transport, units: [{ unit, registers: registersOf(tags).map(inWriting) }] };
}

/** Durations as people write them. */
function inWriting({ value, ...place }: ReturnType<typeof registersOf>[number]) {
  return { ...place, ...(value && { value: { ...value, period: `${value.period}ms` } }) };
}

async function start(options: unknown, log: Logger): Promise<Simulator> {
  const settled = settle(options);
  const units = settled.units.map(unitOf);
  const { transport } = settled;
  try {
    if (isSerial(transport)) {
      const { SimulatedRtuServer } = await import("./rtu-server.ts");
      const server = new SimulatedRtuServer(transport, units);
      await server.start();
      return began(transport.path, server, log);
    }
    const server = serverOf(transport, units);
    await server.start();
    const { host, port } = server.address;
    return began(`${host}:${port}`, server, log);
  } catch (error) {
    throw new ConfigError(`the simulator cannot start: ${messageOf(error)}`, { cause: error });
  }
}

function serverOf({ type, host, port }: NetTransport, units: readonly SimulatedUnit[]) {
  if (type === "udp") return new SimulatedUdpServer(host, port, units);
  const wire = type === "tcp" ? mbapWire : type === "rtu-over-tcp" ? rtuWire : asciiWire;
  return new SimulatedTcpServer(host, port, units, wire);
}

function began(address: string, server: { stop(): Promise<void> }, log: Logger): Simulator {
  log.info({ address }, "modbus simulator answers");
  return { address, stop: () => server.stop() };
}

function unitOf(options: SimulatorOptions["units"][number], index: number): SimulatedUnit {
  const registers = new RegisterMap();
  for (const [at, register] of options.registers.entries()) {
    for (const { path, message } of registers.add(register)) {
      throw new ConfigError(`units[${index}].registers[${at}].${path.join(".")}: ${message}`);
    }
  }
  const unit = new SimulatedUnit(options.unit, registers, options.delay);
  unit.identity = options.identity;
  return unit;
}

function settle(options: unknown): SimulatorOptions {
  const raw = simulatorSchema.safeParse(options);
  if (raw.success) return raw.data;
  const parsed = settledSimulator.safeParse(options);
  if (parsed.success) return parsed.data;
  throw new ConfigError(z.prettifyError(raw.error), { cause: raw.error });
}
