import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { generate, type IConnackPacket, type IConnectPacket } from "mqtt-packet";
import { messageOf, NotConnectedError } from "../../core/errors.ts";
import type { Outgoing } from "../../core/uplink.ts";
import { FrameReader, MalformedError } from "./frames.ts";
import { PacketReader } from "./wire.ts";

/** No packet that a server sends to a client without subscriptions is near this. */
export const MAX_INBOUND_BYTES = 64 * 1024;

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
}

/** The server closed the connection instead of an answer to CONNECT. */
export class NoConnackError extends NotConnectedError {}

/**
 * Sends CONNECT and waits for CONNACK, whatever it says. Bytes that followed it are put back into the socket. The socket is
 * paused when this resolves, and is the caller's to close when it rejects.
 * @throws NotConnectedError; `signal.reason` when aborted.
 */
export async function handshake(socket: Socket, ask: Ask, signal: AbortSignal): Promise<IConnackPacket> {
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
  const { version, clientId, keepaliveS, username, password, will } = ask;
  return {
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: version,
    clean: true,
    clientId,
    keepalive: keepaliveS,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: Buffer.from(password, "utf8") }),
    ...(will === undefined
      ? {}
      : {
          will: { topic: will.topic, payload: Buffer.from(will.payload), qos: ask.willQos, retain: ask.willRetain },
        }),
    // The session ends with the connection, and the server may not use topic aliases: both are the defaults (3.1.2.11).
    ...(version === 5 ? { properties: { sessionExpiryInterval: 0, maximumPacketSize: MAX_INBOUND_BYTES } } : {}),
  };
}

function firstFrame(socket: Socket, signal: AbortSignal): Promise<Buffer> {
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
        const text = error instanceof MalformedError ? error.message : messageOf(error);
        settle(() => reject(new NotConnectedError(`the server answered CONNECT with ${text}`, { cause: error })));
        return;
      }
      const frame = first;
      if (frame === undefined) return;
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
