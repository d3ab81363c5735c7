import type { Buffer } from "node:buffer";
import { ConfigError } from "../core/errors.ts";
import type { RecordedPacket, Recording } from "../core/recording.ts";
import { USER0, USER1 } from "./pcapng.ts";
import { type ReadCapture, type ReadPacket, readBlocks } from "./read-blocks.ts";
import { SocketReader } from "./read-sockets.ts";

const MODBUS_PORT = 502;

/**
 * A capture file as what a device said and was told: one that the flight recorder wrote, or one of tcpdump, Wireshark or
 * tshark. @throws ConfigError where it cannot be one.
 */
export function readRecording(file: Buffer): Recording {
  const capture = readBlocks(file);
  const about = aboutOf(capture.comment);
  const found = capture.packets.some(({ linkType }) => linkType === USER0 || linkType === USER1)
    ? inFrames(capture)
    : inSockets(capture);
  if (found.packets.length === 0) throw new ConfigError("there is nothing in this recording that could be played");
  return {
    driver: about.get("driver"),
    link: about.get("link"),
    transport: about.get("transport") ?? found.transport,
    line: about.get("line"),
    packets: found.packets,
  };
}

interface Found {
  readonly transport: string;
  readonly packets: RecordedPacket[];
}

function inFrames({ packets }: ReadCapture): Found {
  const frames = packets.filter(({ linkType }) => linkType === USER0 || linkType === USER1);
  if (frames.some(({ inbound }) => inbound === undefined)) {
    throw new ConfigError("the packets of this file do not say whether they were sent or received");
  }
  const startMs = frames[0]?.wallMs ?? 0;
  const recorded = frames.map(
    ({ bytes, inbound, linkType, wallMs }: ReadPacket): RecordedPacket => ({
      fromDevice: inbound === true,
      bytes,
      atMs: wallMs - startMs,
      connection: 0,
      noise: linkType === USER1,
    }),
  );
  return { transport: "rtu", packets: recorded };
}

function inSockets({ packets }: ReadCapture): Found {
  const reader = new SocketReader(MODBUS_PORT);
  const startMs = packets[0]?.wallMs ?? 0;
  let transport = "tcp";
  const recorded: RecordedPacket[] = [];
  for (const packet of packets) {
    const found = reader.take(packet);
    if (!found) continue;
    const { bytes, connection, fromServer, protocol, wallMs } = found;
    if (recorded.length === 0) transport = protocol;
    if (protocol !== transport) continue;
    recorded.push({ fromDevice: fromServer, bytes, atMs: wallMs - startMs, connection, noise: false });
  }
  return { transport, packets: recorded };
}

/** The lines of the file's comment, as the flight recorder writes them: `driver: modbus`. */
function aboutOf(comment: string): Map<string, string> {
  const about = new Map<string, string>();
  if (!comment.startsWith("Millrace ")) return about;
  for (const row of comment.split("\n")) {
    const at = row.indexOf(": ");
    if (at > 0 && !about.has(row.slice(0, at))) about.set(row.slice(0, at), row.slice(at + 2));
  }
  return about;
}
