import type { Transport } from "../options.ts";
import { charMs, dataBytes, silenceMs } from "../wire.ts";

/** What one question and its answer take of the bus, in microseconds: so much each, and so much for a byte of data. */
export interface Cost {
  readonly requestUs: number;
  readonly byteUs: number;
}

/** What a unit takes to begin its answer, as long as nobody has measured it. */
export const ASSUMED_TURNAROUND_MS = { serial: 5, network: 1 } as const;

/** Unit, function, address, count, CRC; unit, function, length, CRC. */
const RTU_BYTES = 8 + 5;
/** Colon, two characters for each of unit, function, address, count and LRC, CR LF; the same around the data. */
const ASCII_CHARS = 17 + 11;
/** A small device's Ethernet and its copying: 10 Mbit/s. */
const NETWORK_BYTE_US = 0.8;
const NETWORK_BYTES = 12 + 9;

/** @param turnaroundMs measured for the unit: on a network the whole round trip. */
export function costOf(transport: Transport, turnaroundMs?: number): Cost {
  if (!("baud" in transport)) {
    const roundTripMs = turnaroundMs ?? ASSUMED_TURNAROUND_MS.network;
    return { requestUs: roundTripMs * 1000 + NETWORK_BYTES * NETWORK_BYTE_US, byteUs: NETWORK_BYTE_US };
  }
  const charUs = charMs(transport) * 1000;
  const waitUs = (turnaroundMs ?? ASSUMED_TURNAROUND_MS.serial) * 1000;
  const kind: string = transport.type;
  if (kind === "ascii") return { requestUs: ASCII_CHARS * charUs + waitUs, byteUs: 2 * charUs };
  return { requestUs: RTU_BYTES * charUs + 2 * silenceMs(transport) * 1000 + waitUs, byteUs: charUs };
}

/** Microseconds of a read of so many bits or registers. */
export function readUs(cost: Cost, bits: boolean, count: number): number {
  return cost.requestUs + cost.byteUs * dataBytes({ functionCode: bits ? 1 : 3, count });
}
