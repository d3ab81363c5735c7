import type { Buffer } from "node:buffer";
import { type IDisconnectPacket, type Packet, type Parser, parser } from "mqtt-packet";
import { messageOf } from "../../core/errors.ts";
import { MalformedError } from "./frames.ts";

/** Reads whole control packets; what the general parser throws or emits becomes one error. */
export class PacketReader {
  readonly #parser: Parser;
  #packet: Packet | undefined;
  #fault: string | undefined;

  /** @param version 5, or 4 for MQTT 3.1.1. */
  constructor(version: 4 | 5) {
    this.#parser = parser({ protocolVersion: version });
    this.#parser.on("packet", (packet) => {
      this.#packet = packet;
    });
    this.#parser.on("error", (error: unknown) => {
      this.#fault = messageOf(error);
    });
  }

  /** @throws MalformedError when the bytes are no packet. */
  read(frame: Buffer): Packet {
    this.#packet = undefined;
    this.#fault = undefined;
    try {
      this.#parser.parse(frame);
    } catch (error) {
      throw new MalformedError(`a packet that cannot be read: ${messageOf(error)}`, { cause: error });
    }
    const packet: Packet | undefined = this.#packet;
    if (this.#fault !== undefined || packet === undefined) {
      throw new MalformedError(`a packet that cannot be read: ${this.#fault ?? "incomplete"}`);
    }
    return packet;
  }
}

/** DISCONNECT, 3.14. `withWill`: the server is to publish our will all the same (MQTT 5). */
export function disconnectPacket(withWill: boolean): IDisconnectPacket {
  return { cmd: "disconnect", reasonCode: withWill ? 0x04 : 0x00 };
}
