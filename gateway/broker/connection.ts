import { Duplex } from "node:stream";
import { CONNECT, type Frame, FrameFault, FrameReader, PUBLISH } from "./frames.ts";
import { PacketRate } from "./packet-rate.ts";
import type { Connect, Refusal } from "./refusal.ts";
import { NO_RIGHTS, type Rights } from "./rights.ts";

/** Bytes of unacknowledged publishes over all connections; one object per broker. */
export interface Budget {
  used: number;
  readonly max: number;
}

export interface ConnectionLimits {
  /** Greatest packet in bytes, with its header. */
  readonly maxPacket: number;
  readonly maxConnectPacket: number;
  /** Packets a second, those that answer the broker left out. */
  readonly maxMessageRate: number;
  /** Milliseconds until CONNECT has arrived whole. */
  readonly connectTimeoutMs: number;
  /** QoS 1 and 2 publishes that may wait for their acknowledgement, and their bytes. */
  readonly maxPending: number;
  readonly maxPendingBytes: number;
  /** Bytes that may wait for the client to read before writing to it waits too. */
  readonly maxUnsentBytes: number;
  /** Milliseconds it may then take to catch up before messages pass it by, and until it is cut after that. */
  readonly graceMs: number;
  readonly slowTimeoutMs: number;
}

/** A client behind by this many times `maxUnsentBytes` is slow without grace. */
const FAR_BEHIND = 4;

export interface ConnectionEvents {
  /** CONNECT is there: somebody may read the connection now. Called at most once. */
  onConnect(connection: GuardedConnection): void;
  /** The connection was cut by the guard. */
  onCut(connection: GuardedConnection, reason: string, message: string): void;
  /** It sends faster than it may, and is read more slowly from now on. */
  onThrottled(connection: GuardedConnection): void;
  /** Monotonic milliseconds. */
  monoMs(): number;
}

/** Who is at the other end, as far as the transport knows. */
export interface Peer {
  readonly address: string;
  /** CN of its verified certificate. */
  readonly certificateUser?: string | undefined;
  /** It is told once when the connection has logged in. */
  readonly admitted?: () => void;
}

/** PUBACK to PUBCOMP: the answers of a client. */
const isAnswer = (type: number) => type > PUBLISH && type < 8;

type Done = (error?: Error | null) => void;

/**
 * One client's socket as the MQTT broker sees it: whole packets only, none over the limit, and no more publishes at a
 * time than may be pending. Back-pressure is decided here, packet by packet: pausing the MQTT parser would still let
 * through everything that came in the same chunk.
 *
 * After CONNECT nothing passes until `ready`. Each QoS 1 or 2 publish that passed must be told to `settled` once.
 */
export class GuardedConnection extends Duplex {
  readonly address: string;
  /** Keepalive of the CONNECT in seconds; 0 for none. */
  keepalive = 0;
  readonly certificateUser: string | undefined;
  /** What its CONNECT said; why it is refused, if it is. */
  connect: Connect | undefined;
  refusal: Refusal | undefined;
  /** Undefined when it is anonymous. */
  user: string | undefined;
  rights: Rights = NO_RIGHTS;
  /** Whether its CONNECT was welcome; before that it may touch nothing of its client id. */
  #isAdmitted = false;
  /** The topic filters it holds. */
  readonly filters = new Set<string>();

  readonly #socket: Duplex;
  readonly #admitted: (() => void) | undefined;
  readonly #rate: PacketRate;
  #rateTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #limits: ConnectionLimits;
  readonly #events: ConnectionEvents;
  readonly #budget: Budget;
  readonly #reader: FrameReader;
  readonly #pendingSizes: number[] = [];
  #pendingBytes = 0;
  #state: "fresh" | "connecting" | "ready" = "fresh";
  #held = false;
  #written: Done | undefined;
  #slow = false;
  #slowTimer: ReturnType<typeof setTimeout> | undefined;
  #connectTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: Duplex, peer: Peer, limits: ConnectionLimits, budget: Budget, events: ConnectionEvents) {
    super({ allowHalfOpen: false, writableHighWaterMark: limits.maxUnsentBytes });
    this.#socket = socket;
    this.#limits = limits;
    this.#events = events;
    this.#budget = budget;
    this.#reader = new FrameReader(limits.maxPacket, limits.maxConnectPacket);
    this.#rate = new PacketRate(limits.maxMessageRate, () => events.monoMs());
    this.address = peer.address;
    this.certificateUser = peer.certificateUser;
    this.#admitted = peer.admitted;
  }

  /** Begins to read the socket. Its errors end here: the connection closes. */
  open(): void {
    this.on("error", () => {});
    this.on("drain", () => this.#caughtUp());
    this.#socket.on("error", () => this.destroy());
    this.#socket.on("close", () => this.destroy());
    this.#socket.on("end", () => this.push(null));
    this.#socket.on("drain", () => this.#flushed());
    this.#socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    this.#connectTimer = setTimeout(
      () => this.#cut("connect-timeout", "no complete CONNECT in time"),
      this.#limits.connectTimeoutMs,
    );
  }

  get isAdmitted(): boolean {
    return this.#isAdmitted;
  }
  admit(): void {
    this.#isAdmitted = true;
    this.#admitted?.();
  }

  /** The broker took the CONNECT: what the client sent since then may pass. */
  ready(): void {
    if (this.#state !== "connecting") return;
    this.#state = "ready";
    this.#pump();
  }

  get isReady(): boolean {
    return this.#state === "ready";
  }

  /** The oldest QoS 1 or 2 publish that passed is answered for. */
  settled(): void {
    const size = this.#pendingSizes.shift();
    if (size === undefined) return;
    this.#pendingBytes -= size;
    this.#budget.used -= size;
    if (this.#held) this.#pump();
  }

  /** QoS 1 and 2 publishes that passed and were not settled. */
  get pending(): number {
    return this.#pendingSizes.length;
  }

  /**
   * True while the client reads too slowly to be sent messages. Asking begins its time of grace, in which messages wait
   * for it, and whoever published them with them; so a burst is not lost, and a client that froze holds nobody for long.
   */
  isSlow(): boolean {
    if (!this.writableNeedDrain) return false;
    this.#slowTimer ??= setTimeout(() => this.#fellBehind(), this.#limits.graceMs);
    return this.#slow || this.writableLength > FAR_BEHIND * this.#limits.maxUnsentBytes;
  }

  override _read(): void {
    if (!this.#held && !this.destroyed) this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    if (this.#socket.write(chunk)) done();
    else this.#written = done;
  }

  /** The packets of one tick go out as one write. */
  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], done: Done): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "utf8", done);
  }

  override _final(done: Done): void {
    this.#socket.end();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#slowTimer);
    clearTimeout(this.#rateTimer);
    for (const size of this.#pendingSizes) this.#budget.used -= size;
    this.#pendingSizes.length = 0;
    this.#pendingBytes = 0;
    this.#socket.destroy();
    done(error);
  }

  #flushed(): void {
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  #fellBehind(): void {
    this.#slow = true;
    this.#slowTimer = setTimeout(() => this.#cut("slow", "the client does not read"), this.#limits.slowTimeoutMs);
    // Whoever waits to write would wait until the cut: the bytes are buffered, let them go on.
    this.emit("drain");
  }

  #caughtUp(): void {
    if (this.writableNeedDrain) return;
    clearTimeout(this.#slowTimer);
    this.#slowTimer = undefined;
    this.#slow = false;
  }

  #receive(chunk: Buffer): void {
    if (this.destroyed) return;
    try {
      this.#reader.feed(chunk);
    } catch (error) {
      this.#refuse(error);
      return;
    }
    this.#pump();
  }

  #pump(): void {
    if (this.destroyed) return;
    const fresh = this.#state === "fresh";
    try {
      this.#held = false;
      for (let frame = this.#reader.next(); frame; frame = this.#reader.next()) {
        this.#held = !this.#admit(frame);
        if (this.#held) break;
        this.#reader.accept();
      }
    } catch (error) {
      this.#refuse(error);
      return;
    }
    let room = true;
    for (const bytes of this.#reader.drain()) room = this.push(bytes);
    if (this.#held || !room) this.#socket.pause();
    else this.#socket.resume();
    if (fresh && this.#state !== "fresh") this.#events.onConnect(this);
  }

  #admit(frame: Frame): boolean {
    if (frame.type === CONNECT) {
      clearTimeout(this.#connectTimer);
      this.#state = "connecting";
      return true;
    }
    if (this.#state !== "ready") return false;
    if (isAnswer(frame.type)) return true;
    const isAcknowledged = frame.type === PUBLISH && frame.qos > 0;
    if (isAcknowledged && this.#pendingSizes.length > 0 && this.#isFull(frame.size)) return false;
    if (!this.#isInTime()) return false;
    if (!isAcknowledged) return true;
    this.#pendingSizes.push(frame.size);
    this.#pendingBytes += frame.size;
    this.#budget.used += frame.size;
    return true;
  }

  #isInTime(): boolean {
    const waitMs = this.#rate.take();
    if (waitMs === 0) return true;
    if (this.#rateTimer === undefined) {
      this.#events.onThrottled(this);
      this.#rateTimer = setTimeout(() => {
        this.#rateTimer = undefined;
        this.#pump();
      }, waitMs);
    }
    return false;
  }

  /** One publish is always let through, so that nobody waits for the others' bytes for ever. */
  #isFull(size: number): boolean {
    return (
      this.#pendingSizes.length >= this.#limits.maxPending ||
      this.#pendingBytes + size > this.#limits.maxPendingBytes ||
      this.#budget.used + size > this.#budget.max
    );
  }

  #refuse(error: unknown): void {
    if (error instanceof FrameFault) this.#cut(error.reason, error.message);
    else throw error;
  }

  #cut(reason: string, message: string): void {
    if (this.destroyed) return;
    this.#events.onCut(this, reason, message);
    this.destroy();
  }
}
