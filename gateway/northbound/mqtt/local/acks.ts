import { Buffer } from "node:buffer";

const FIRST_BYTE = { puback: 0x40, pubrec: 0x50, pubcomp: 0x70 } as const;

interface Slot {
  readonly bytes: Buffer;
  given: boolean;
}

/** Answers to PUBLISH in the order in which they were asked for [MQTT-4.6.0-2]; all of one turn go in one write. */
export class Acks {
  readonly #write: (bytes: Buffer) => void;
  #slots: Slot[] = [];
  #ready: Buffer[] = [];
  #scheduled = false;

  constructor(write: (bytes: Buffer) => void) {
    this.#write = write;
  }

  /** @returns what gives this answer. */
  ask(kind: keyof typeof FIRST_BYTE, packetId: number): () => void {
    const slot: Slot = { bytes: bytesOf(kind, packetId), given: false };
    this.#slots.push(slot);
    return () => {
      slot.given = true;
      this.#collect();
    };
  }

  /** One that waits for no other. */
  now(kind: keyof typeof FIRST_BYTE, packetId: number): void {
    this.#add(bytesOf(kind, packetId));
  }

  /** Writes now what was given. */
  flush(): void {
    this.#scheduled = false;
    if (this.#ready.length === 0) return;
    this.#write(Buffer.concat(this.#ready));
    this.#ready = [];
  }

  #collect(): void {
    let count = 0;
    while (this.#slots[count]?.given === true) count++;
    for (const { bytes } of this.#slots.splice(0, count)) this.#add(bytes);
  }

  #add(bytes: Buffer): void {
    this.#ready.push(bytes);
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.flush());
  }
}

function bytesOf(kind: keyof typeof FIRST_BYTE, packetId: number): Buffer {
  return Buffer.of(FIRST_BYTE[kind], 2, packetId >> 8, packetId & 0xff);
}
