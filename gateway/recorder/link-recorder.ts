import { Buffer } from "node:buffer";
import type { Clock } from "../core/clock.ts";
import type { RecorderOptions } from "../core/options/recorder.ts";
import type { Ends, Passed, Tap } from "../core/recording.ts";
import { Ring, type RingEntry, type RingKind } from "./ring.ts";

const OPENED: RingKind = 1;
const SENT: RingKind = 2;
const RECEIVED: RingKind = 3;
const CLOSED: RingKind = 4;
const NOTHING = Buffer.alloc(0);
/** So many connections are known by their ends; older ones are hardly in the ring any more. */
const MAX_CONNECTIONS = 64;

/** What a link's tap was told, for as long as the ring holds it. */
export class LinkRecorder implements Tap {
  readonly #ring: Ring;
  readonly #clock: Clock;
  readonly #ends = new Map<number, Ends>();
  readonly #onFault: (reason: string) => void;
  #connection = 0;

  /** `onFault` is called for each fault, often for many in a row, and must return at once. */
  constructor(options: RecorderOptions, clock: Clock, onFault: (reason: string) => void) {
    this.#ring = new Ring(options.size, options.age);
    this.#clock = clock;
    this.#onFault = onFault;
  }

  /** Number of what passes next. */
  get next(): number {
    return this.#ring.next;
  }

  /** Bytes of memory taken. */
  get memory(): number {
    return this.#ring.memory;
  }

  opened(ends?: Ends): void {
    this.#connection++;
    if (ends) this.#ends.set(this.#connection, ends);
    this.#ends.delete(this.#connection - MAX_CONNECTIONS);
    this.#write(OPENED, NOTHING);
  }

  sent(bytes: Uint8Array): void {
    this.#write(SENT, bytes);
  }

  received(bytes: Uint8Array, peer = 0): void {
    this.#write(RECEIVED, bytes, peer);
  }

  closed(reason: string): void {
    this.#write(CLOSED, Buffer.from(reason));
  }

  fault(reason: string): void {
    this.#onFault(reason);
  }

  /** How a connection goes through IP; undefined where it does not, or is long gone. */
  endsOf(connection: number): Ends | undefined {
    return this.#ends.get(connection);
  }

  /** What passed from number `from` and is still held; `lost` says how much of it is not. */
  since(from: number): { readonly passed: Passed[]; readonly lost: number; readonly next: number } {
    const { first, entries } = this.#ring.since(from, this.#clock.now().monoMs);
    return { passed: entries.map((entry) => this.#passed(entry)), lost: first - from, next: this.#ring.next };
  }

  #passed({ kind, bytes, peer, connection, monoMs, wallMs }: RingEntry): Passed {
    const when = { connection, monoMs, wallMs };
    if (kind === SENT || kind === RECEIVED) return { ...when, kind: kind === SENT ? "sent" : "received", bytes, peer };
    if (kind === OPENED) return { ...when, kind: "opened", ends: this.#ends.get(connection) };
    return { ...when, kind: "closed", reason: bytes.toString("utf8") };
  }

  #write(kind: RingKind, bytes: Uint8Array, peer = 0): void {
    const { monoMs, wallMs } = this.#clock.now();
    this.#ring.write(kind, bytes, peer, this.#connection, monoMs, wallMs);
  }
}
