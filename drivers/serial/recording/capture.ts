import type { Device } from "../../../gateway/core/driver.ts";
import type { Capture, CapturedFrame, Passed } from "../../../gateway/core/recording.ts";
import type { LinkOptions, Transport } from "../options.ts";

const NOTE = "chunks are as they came, as link type USER1; Wireshark shows them as bytes";

/** How a link of speaking devices is written into a capture: what telegrams are is not for a dissector to say. */
export function serialCapture({ transport }: LinkOptions, devices: readonly Device[]): Capture {
  return {
    layer: "frames",
    transport: transport.type ?? "serial",
    at: "path" in transport ? transport.path : `${transport.host}:${transport.port}`,
    ...lineOf(transport),
    units: devices.map(({ name }) => name).join(", "),
    notes: [NOTE],
    sifter: () => ({ take: chunkOf, end: () => [] }),
  };
}

function chunkOf(passed: Passed): CapturedFrame[] {
  if (passed.kind !== "sent" && passed.kind !== "received") return [];
  const { bytes, connection, kind, monoMs, peer, wallMs } = passed;
  const frame = { kind, bytes, connection, monoMs, wallMs, noise: true };
  return [peer === 0 ? frame : { ...frame, comment: `connection ${peer + 1} of those at once` }];
}

function lineOf(transport: Transport): { line?: string } {
  if (!("baud" in transport)) return {};
  const { baud, dataBits, parity, stopBits } = transport;
  return { line: `${baud} ${dataBits}${parity.charAt(0).toUpperCase()}${stopBits}` };
}
