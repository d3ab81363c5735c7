import type { StoredPacket } from "./session.ts";

/** Longer payloads are not kept: of an incoming message the broker only asks whether it is there. */
const MAX_KEPT_BYTES = 1024;

/** QoS 2 messages received and not released, as long as the process lives. The broker bounds how many. */
export class IncomingStore {
  readonly #clients = new Map<string, Map<number, StoredPacket>>();

  set(clientId: string, packet: StoredPacket): void {
    const packets = this.#clients.get(clientId) ?? new Map<number, StoredPacket>();
    this.#clients.set(clientId, packets);
    const { cmd, topic = "", payload = "", qos = 2, dup = false, retain = false, messageId = 0 } = packet;
    const kept = payload.length > MAX_KEPT_BYTES ? "" : typeof payload === "string" ? payload : Buffer.from(payload);
    packets.set(messageId, { cmd, topic, payload: kept, qos, dup, retain, messageId });
  }

  get(clientId: string, packetId: number): StoredPacket | undefined {
    return this.#clients.get(clientId)?.get(packetId);
  }

  delete(clientId: string, packetId: number): boolean {
    const packets = this.#clients.get(clientId);
    const known = packets?.delete(packetId) ?? false;
    if (packets?.size === 0) this.#clients.delete(clientId);
    return known;
  }

  forget(clientId: string): void {
    this.#clients.delete(clientId);
  }
}
