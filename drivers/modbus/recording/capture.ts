import type { Device } from "../../../gateway/core/driver.ts";
import type { Capture } from "../../../gateway/core/recording.ts";
import { hasIds, isSerial, type LinkOptions, readDevice, type SerialTransport } from "../options.ts";
import { asciiFraming } from "../ports/ascii-framing.ts";
import { rtuFraming } from "../ports/rtu-framing.ts";
import { stopBitsOf } from "../wire.ts";
import { IdSifter } from "./id-sifter.ts";
import { LineSifter } from "./line-sifter.ts";

/** The port by which dissectors know Modbus. */
const MODBUS_PORT = 502;

const USER_NOTES = [
  'frames are Modbus RTU as link type USER0; to decode: tshark -o \'uat:user_dlts:"User 0 (DLT=147)","mbrtu","0","","0",""\'',
  "or in Wireshark: Preferences, Protocols, DLT_USER, Encapsulations Table, new: User 0 (DLT=147), payload mbrtu",
];
const ASCII_NOTE = "the line speaks Modbus ASCII: each frame is shown as RTU, its text is in the packet's comment";

/** How a Modbus link is written into a capture. */
export function modbusCapture({ transport }: LinkOptions, devices: readonly Device[]): Capture {
  const units = unitsOf(devices);
  const at = isSerial(transport) ? transport.path : `${transport.host}:${transport.port}`;
  if (transport.type === "tcp" || transport.type === "udp") {
    const frames = { isStream: transport.type === "tcp", trustIds: hasIds(transport) };
    return {
      layer: transport.type,
      port: MODBUS_PORT,
      transport: transport.type,
      at,
      units,
      notes: portNotes(transport.port),
      sifter: () => new IdSifter(frames),
    };
  }
  const ascii = transport.type === "ascii" || transport.type === "ascii-over-tcp";
  return {
    layer: "frames",
    transport: transport.type,
    at,
    ...(isSerial(transport) ? { line: lineOf(transport) } : {}),
    units,
    notes: ascii ? [ASCII_NOTE, ...USER_NOTES] : USER_NOTES,
    sifter: () => new LineSifter(ascii ? asciiFraming : rtuFraming),
  };
}

function portNotes(port: number): string[] {
  const made =
    "Ethernet, IP and TCP or UDP around the bytes are made up; the bytes, their order and their times are real";
  if (port === MODBUS_PORT) return [made];
  return [made, `the device's port is ${port}; it is written as ${MODBUS_PORT}, by which dissectors know Modbus`];
}

function unitsOf(devices: readonly Device[]): string {
  const names = devices.map((device) => `${readDevice(device.options).unit} (${device.name})`);
  return names.join(", ");
}

function lineOf(line: SerialTransport): string {
  return `${line.baud} ${line.dataBits}${line.parity.charAt(0).toUpperCase()}${stopBitsOf(line)}`;
}
