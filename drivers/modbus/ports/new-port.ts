import { randomInt } from "node:crypto";
import { ConfigError, messageOf } from "../../../gateway/core/errors.ts";
import type { Tap } from "../../../gateway/core/recording.ts";
import { hasIds, isSerial, type LinkOptions, type SerialTransport } from "../options.ts";
import { silenceMs } from "../wire.ts";
import { asciiFraming } from "./ascii-framing.ts";
import type { OpenChannel } from "./channel.ts";
import { IdPort } from "./id-port.ts";
import { LinePort } from "./line-port.ts";
import { untrustedFraming } from "./mbap.ts";
import type { CountFrame, StrictPort } from "./port.ts";
import { rtuFraming } from "./rtu-framing.ts";
import { tapped } from "./tapped-channel.ts";
import { TcpChannel } from "./tcp-channel.ts";
import { UdpChannel } from "./udp-channel.ts";

/** The least time a late answer is reckoned with, and how long it is not forgotten that one may come. */
const LATE_MS = 1000;
const WARY_MS = 30_000;

/** A port for a link, not yet open. @throws ConfigError where serial ports cannot be used at all. */
export async function newPort(
  { transport, timeout, inFlight }: Pick<LinkOptions, "transport" | "timeout" | "inFlight">,
  count: CountFrame,
  tap?: Tap,
): Promise<StrictPort> {
  const stream = transport.type !== "udp";
  const plain: OpenChannel = isSerial(transport)
    ? await serialChannel(transport)
    : (events) =>
        transport.type === "udp"
          ? new UdpChannel(transport, events)
          : new TcpChannel({ ...transport, gather: inFlight > 1 }, events);
  const openChannel = tap ? tapped(plain, tap) : plain;
  if (hasIds(transport)) return new IdPort(openChannel, { stream, slots: inFlight }, count);
  const closedMs = Math.max(LATE_MS, 2 * timeout);
  const windows = { closedMs, waryMs: Math.max(WARY_MS, closedMs) };
  const quietMs = isSerial(transport) ? silenceMs(transport) : 0;
  return new LinePort(openChannel, { framing: framingOf(transport.type), silenceMs: quietMs, windows, stream }, count);
}

function framingOf(type: LinkOptions["transport"]["type"]) {
  if (type === "tcp" || type === "udp") return untrustedFraming(randomInt(0x10000));
  return type === "ascii" || type === "ascii-over-tcp" ? asciiFraming : rtuFraming;
}

/** Loaded when first needed, so that a gateway without serial lines needs no native library for them. */
async function serialChannel(transport: SerialTransport): Promise<OpenChannel> {
  try {
    const { SerialLine } = await import("./serial-line.ts");
    return (events) => new SerialLine(transport, events);
  } catch (error) {
    throw new ConfigError(`serial ports cannot be used on this machine: ${messageOf(error)}`, { cause: error });
  }
}
