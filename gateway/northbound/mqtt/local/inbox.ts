import type { Buffer } from "node:buffer";

/** A PUBLISH from a server. */
export interface Arrival {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** The server sends it again. */
  readonly dup: boolean;
  readonly contentType?: string;
  /** Where the sender wants an answer, and by what it knows it (MQTT 5). */
  readonly responseTopic?: string;
  readonly correlation?: Uint8Array;
}

interface Held {
  readonly arrival: Arrival;
  /** Whoever has it has it safe. */
  stored: boolean;
  /** What tell the server, on the present connection. */
  answers: (() => void)[];
}

/**
 * What a server sent with QoS 1 or 2 and was not answered yet, by packet identifier. Outlives connections, not processes: what
 * comes again after a new connection (4.4) is not handed on again while it is still here. With QoS 2 an identifier stays until
 * its PUBREL [MQTT-4.3.3-10].
 */
export class Inbox {
  readonly #deliver: (arrival: Arrival, stored: () => void) => void;
  readonly #held = new Map<number, Held>();
  #pending = 0;
  #pendingBytes = 0;

  /** `deliver` is called once for each message; it calls back when the message is safe, in any order. */
  constructor(deliver: (arrival: Arrival, stored: () => void) => void) {
    this.#deliver = deliver;
  }

  /** Messages that are not safe yet, and their bytes. */
  get pending(): { readonly messages: number; readonly bytes: number } {
    return { messages: this.#pending, bytes: this.#pendingBytes };
  }

  /** `answer` is called when the server may be told; not after the connection was lost, or when it came on a later one. */
  take(packetId: number, arrival: Arrival, answer: () => void): void {
    const known = this.#held.get(packetId);
    if (known && isSame(known, arrival)) {
      known.answers.push(answer);
      if (known.stored) this.#answer(packetId, known);
      return;
    }
    const held: Held = { arrival, stored: false, answers: [answer] };
    this.#held.set(packetId, held);
    const bytes = arrival.payload.length + arrival.topic.length;
    this.#pending += 1;
    this.#pendingBytes += bytes;
    this.#deliver(arrival, () => {
      if (held.stored) return;
      held.stored = true;
      this.#pending -= 1;
      this.#pendingBytes -= bytes;
      if (held.answers.length > 0) this.#answer(packetId, held);
    });
  }

  /** PUBREL: the identifier may be used for another message. */
  release(packetId: number): void {
    if (this.#held.get(packetId)?.stored) this.#held.delete(packetId);
  }

  /** The connection ended: nobody can be told now. */
  lost(): void {
    for (const held of this.#held.values()) held.answers = [];
  }

  /** The server has forgotten the session: its identifiers mean other messages now. */
  forget(): void {
    this.lost();
    this.#held.clear();
  }

  #answer(packetId: number, held: Held): void {
    if (held.arrival.qos < 2 && this.#held.get(packetId) === held) this.#held.delete(packetId);
    for (const answer of held.answers.splice(0)) answer();
  }
}

/** What is marked as sent before, and is the same; another message may have the identifier of one that nobody sent again. */
function isSame({ arrival: known, stored }: Held, arrival: Arrival): boolean {
  if (known.qos === 2 && stored) return true;
  if (!arrival.dup) return false;
  return known.qos === arrival.qos && known.topic === arrival.topic && known.payload.equals(arrival.payload);
}
