import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { generate, type IConnackPacket, type IConnectPacket } from "mqtt-packet";
import { messageOf, NotConnectedError } from "../../core/errors.ts";
import type { Outgoing } from "../../core/uplink.ts";
import { FrameReader, MalformedError } from "./frames.ts";
import { PacketReader } from "./wire.ts";

/** No packet that a server sends to a client without subscriptions is near this. */
export const MAX_INBOUND_BYTES = 64 * 1024;
/** Of one message that comes down, and how many the server may send before the first is acknowledged. */
export const MAX_ACCEPTED_BYTES = 1024 * 1024;
export const MAX_ACCEPTED = 64;

/** How a session is asked for; what the server refuses may be asked for differently. */
export interface Ask {
  readonly version: 4 | 5;
  readonly clientId: string;
  readonly keepaliveS: number;
  readonly username?: string;
  readonly password?: string;
  readonly will?: Outgoing;
  readonly willRetain: boolean;
  readonly willQos: 0 | 1;
  /** The session is to outlive the connection; absent: it ends with it. */
  readonly session?: KeptSession;
}

export interface KeptSession {
  /** Seconds after the connection (MQTT 5; an older server decides by itself). */
  readonly expiryS: number;
  /** Messages that the server may send before the first is acknowledged (MQTT 5). */
  readonly receiveMaximum: number;
  /** Longest packet that the server may send (MQTT 5); it drops what is longer without a word. */
  readonly maxBytes?: number;
}

/** The server closed the connection instead of an answer to CONNECT. */
export class NoConnackError extends NotConnectedError {}

/**
 * Sends CONNECT and waits for CONNACK, whatever it says. Bytes that followed it are put back into the socket. The socket is
 * paused when this resolves, and is the caller's to close when it rejects.
 * @throws NotConnectedError; `signal.reason` when aborted.
 */
export async function handshake(socket: Duplex, ask: Ask, signal: AbortSignal): Promise<IConnackPacket> {
  const answer = firstFrame(socket, signal);
  socket.write(generate(connectPacket(ask), { protocolVersion: ask.version }));
  const frame = await answer;
  // A server of 3.1.1 answers a CONNECT of 5 in its own way: two bytes, the second a return code (3.2.2.3).
  const version = frame[1] === 2 ? 4 : ask.version;
  const packet = readConnack(frame, version);
  if (packet.cmd !== "connack") throw new NotConnectedError(`the server answered CONNECT with ${packet.cmd}`);
  return packet;
}

function readConnack(frame: Buffer, version: 4 | 5) {
  try {
    return new PacketReader(version).read(frame);
  } catch (error) {
    throw new NotConnectedError(`the server answered CONNECT with ${messageOf(error)}`, { cause: error });
  }
}

function connectPacket(ask: Ask): IConnectPacket {
  const { version, clientId, keepaliveS, username, password, will, session } = ask;
  return {
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: version,
    clean: session === undefined,
    clientId,
    keepalive: keepaliveS,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: Buffer.from(password, "utf8") }),
    ...(will === undefined
      ? {}
      : {
          will: { topic: will.topic, payload: Buffer.from(will.payload), qos: ask.willQos, retain: ask.willRetain },
        }),
    ...(version === 5 ? { properties: sessionProperties(session) } : {}),
  };
}

/** The server may not use topic aliases; that is the default (3.1.2.11). */
function sessionProperties(session: KeptSession | undefined): NonNullable<IConnectPacket["properties"]> {
  if (session) {
    const { expiryS, receiveMaximum, maxBytes } = session;
    const most = maxBytes === undefined ? {} : { maximumPacketSize: maxBytes };
    return { sessionExpiryInterval: expiryS, receiveMaximum, ...most };
  }
  return { sessionExpiryInterval: 0, maximumPacketSize: MAX_INBOUND_BYTES };
}

function firstFrame(socket: Duplex, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      socket.off("data", data).off("error", fail).off("end", end).off("close", end);
      signal.removeEventListener("abort", abort);
      act();
    };
    const fail = (error: Error) =>
      settle(() => reject(new NoConnackError(`no answer to CONNECT: ${error.message}`, { cause: error })));
    const end = () => settle(() => reject(new NoConnackError("the server closed the connection instead of a CONNACK")));
    const abort = () => settle(() => reject(signal.reason));
    let first: Buffer | undefined;
    let taken = 0;
    const reader = new FrameReader(MAX_INBOUND_BYTES, (frame) => {
      first ??= Buffer.from(frame);
    });
    const data = (chunk: Buffer) => {
      try {
        taken += chunk.length;
        reader.push(chunk);
      } catch (error) {
        // What comes behind CONNACK, such as a long message of a kept session, is for others to judge.
        if (first !== undefined) return agreed(chunk, first);
        const text = error instanceof MalformedError ? error.message : messageOf(error);
        settle(() => reject(new NotConnectedError(`the server answered CONNECT with ${text}`, { cause: error })));
        return;
      }
      if (first !== undefined) agreed(chunk, first);
    };
    const agreed = (chunk: Buffer, frame: Buffer) => {
      const extra = taken - frame.length;
      settle(() => {
        socket.pause();
        if (extra > 0) socket.unshift(chunk.subarray(chunk.length - extra));
        resolve(frame);
      });
    };
    socket.on("data", data).on("error", fail).on("end", end).on("close", end);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
  });
}
