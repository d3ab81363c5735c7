import { userInfo } from "node:os";
import { AREAS, formatAddress, LAST_ADDRESS, parseAddress } from "../drivers/modbus/address.ts";
import { parseType, sizeOf } from "../drivers/modbus/codec/types.ts";
import { rank } from "../drivers/modbus/guess/rank.ts";
import { modbusModule } from "../drivers/modbus/module.ts";
import { scanMs, scanUnits } from "../drivers/modbus/scan/scan.ts";
import type { Around, LineTools } from "./cli/line/tools.ts";
import { loadConfig } from "./config/load.ts";
import { DeviceShaper } from "./southbound/shape/device-shaper.ts";
import { SystemClock } from "./system/clock.ts";

/** What `millrace read`, `write`, `scan` and `guess` are made of. */
export function lineTools(): LineTools {
  return {
    modbus: modbusModule,
    clock: new SystemClock(),
    shaperOf: (device) => DeviceShaper.of(device),
    user: userName(),
    // Secrets are not needed to read a tag.
    load: (file, cwd) => loadConfig(file, { cwd }),
    isAddress,
    placesOf,
    scan: scanUnits,
    scanMs,
    rank: (samples, options) => rank(samples, options),
    placesAround,
    typeAt: (address) => {
      const { area, bit } = addressIn(address);
      return AREAS[area].bits || bit !== undefined ? "bool" : "uint16";
    },
  };
}

function isAddress(text: string): boolean {
  return /^(coil|discrete|input|holding):/.test(text) || /^\d{5,6}(\.\d+)?$/.test(text);
}

/** On the command line every address is text, so that 00001 is what it says. */
function addressIn(text: string) {
  return parseAddress(text);
}

/** Manuals count from 0 or from 1, and do not always say which of the two kinds of registers they mean. */
function placesAround(text: string): Around {
  const { area, index, bit } = addressIn(text);
  if (AREAS[area].bits || bit !== undefined) return { area, index, neighbours: undefined };
  const other = area === "holding" ? "input" : "holding";
  const neighbours = [
    { area, index: index - 1, what: "one before" },
    { area, index: index + 1, what: "one behind" },
    { area: other, index, what: `${other} instead of ${area}` },
  ];
  return { area, index, neighbours: neighbours.filter((each) => each.index >= 0 && each.index <= LAST_ADDRESS) };
}

function placesOf(text: string, type: string, count: number): string[] {
  const address = addressIn(text);
  const { area, index, bit } = address;
  const width = AREAS[area].bits ? 1 : sizeOf(parseType(type)) / 2;
  return Array.from({ length: count }, (_, at) => {
    if (bit === undefined) return formatAddress({ area, index: index + at * width });
    return formatAddress({ area, index: index + Math.floor((bit + at) / 16), bit: (bit + at) % 16 });
  });
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return "unknown";
  }
}
