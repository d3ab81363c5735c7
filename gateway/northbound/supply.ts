import { messageOf } from "../core/errors.ts";
import type { Queue } from "../core/queue.ts";
import type { Entry, Gap } from "../core/record.ts";
import type { Outgoing } from "../core/uplink.ts";
import { type Batched, Batcher, type BatchOptions, joined } from "./batcher.ts";
import { gapMessage } from "./control.ts";
import type { EncodeContext, Encoder } from "./encoders/encoder.ts";
import { gzipped } from "./gzip.ts";
import { type Job, jobOf, keyOf, type Part, partOf } from "./job.ts";
import type { Lane } from "./lane.ts";
import type { Lanes } from "./lanes.ts";
import { monotonicMs } from "./pause.ts";
import type { Poison } from "./poison.ts";
import { Retries } from "./retries.ts";

/** Batches of live data for one of backfill that goes whatever the window says. */
const LIVE_TURNS = 19;
/** Refused for the moment: with more of them than this and than the window nothing new is sent. */
const LEAST_RETRIES = 16;
const MOST_PARKED = 256;
const POISON = "poison: the connection was lost over it again and again, and not over others";

export interface SupplySettings {
  readonly queue: Queue;
  readonly encoder: Encoder;
  readonly encoding: EncodeContext;
  readonly batch: BatchOptions | undefined;
  readonly maxBatched: number;
  /** Messages carry a key. */
  readonly keys: boolean;
  readonly poison: Poison;
  /** Called when there may be something to take. */
  readonly wake: () => void;
}

/** What the window says about the next message. */
export interface Room {
  /** False while the rate is used up: only a status may go. */
  open(): boolean;
  /** Whether a message may go that was refused before, or that is new. */
  mayRetry(): boolean;
  mayTakeMore(): boolean;
  mayBackfill(): boolean;
  /** Messages without a verdict. */
  flying(): number;
  /** A record that needs no message is done; `fault` says why one cannot be sent at all. */
  unsent(job: Job, fault: string | undefined): void;
}

/** Where the next message of a connection comes from: what waits to be sent, what was refused before, and the lanes. */
export class Supply {
  readonly #retries: Retries<Part>;
  /** Of these, what only a person can cure: it must not keep others from being sent. */
  readonly #parked = new Set<Part>();
  readonly #settings: SupplySettings;
  readonly #lanes: Lanes;
  readonly #room: Room;
  readonly #live: Batcher | undefined;
  readonly #backfill: Batcher | undefined;
  #outbox: Part[] = [];
  /** Sent alone, each when nothing else is in flight. */
  #suspects: Part[] = [];
  #trial: Part | undefined;
  #liveTurns = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(settings: SupplySettings, lanes: Lanes, room: Room) {
    this.#settings = settings;
    this.#lanes = lanes;
    this.#room = room;
    this.#retries = new Retries(settings.wake);
    const { batch, encoder, maxBatched } = settings;
    if (batch !== undefined && encoder.joins !== undefined) {
      const make = () => new Batcher({ ...batch, joins: encoder.joins ?? "json", most: maxBatched });
      this.#live = make();
      this.#backfill = make();
    }
  }

  /** Nothing waits to be sent that need not wait for a verdict. */
  get idle(): boolean {
    return this.#outbox.length === 0;
  }

  /** Whether `next` would give a message, or take one further on its way. */
  get ready(): boolean {
    if (this.#trial !== undefined || !this.#room.open()) return false;
    return this.#outbox.length > 0 || (this.#room.mayTakeMore() && this.#lanes.liveReady);
  }

  /** Messages that were refused for the moment. */
  get retrying(): number {
    return this.#retries.size;
  }

  /** Messages that wait for a person to cure it. */
  get parked(): number {
    return this.#parked.size;
  }

  /** So many are refused for the moment that nothing new is to be sent. */
  stuck(inFlight: number): boolean {
    const parked = this.#parked.size;
    return parked >= MOST_PARKED || this.#retries.size - parked >= Math.max(LEAST_RETRIES, inFlight);
  }

  again(part: Part, afterMs: number, park: boolean): void {
    if (park) this.#parked.add(part);
    this.#retries.add(part, afterMs);
  }

  push(part: Part): void {
    this.#outbox.push(part);
  }

  pushFirst(part: Part): void {
    this.#outbox.unshift(part);
  }

  /** A message of several records was refused: each goes by itself. */
  split(job: Job): void {
    if (job.what.kind !== "batch") return;
    const [message] = job.messages;
    for (const { entry, body } of job.what.items) {
      if (message) this.#outbox.push(this.#alone(entry, { ...message, payload: body }, job.backfill));
    }
  }

  answered(part: Part): void {
    if (part === this.#trial) this.#trial = undefined;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#retries.clear();
    this.#parked.clear();
  }

  next(): Part | undefined {
    if (this.#trial !== undefined) return undefined;
    for (;;) {
      if (!this.#room.open() && this.#outbox[0]?.job.what.kind !== "status") {
        this.#readAhead();
        return undefined;
      }
      const waiting = this.#outbox.shift() ?? (this.#room.mayRetry() ? this.#retries.take() : undefined);
      if (waiting !== undefined) {
        this.#parked.delete(waiting);
        if (waiting.job.dead) continue;
        return waiting;
      }
      if (!this.#room.mayTakeMore()) return undefined;
      if (this.#suspects.length > 0 && this.#settings.poison.mayTry) return this.#tryOne();
      const batch = this.#nextBatch();
      if (batch !== undefined) return batch;
      const lane = this.#lanes.pick(() => this.#mayReadBackfill());
      if (lane === undefined) return this.#nothingRead();
      const part = this.#take(lane);
      if (part !== undefined) return part;
    }
  }

  /** Fills messages while none may go, so that those that go are full. */
  #readAhead(): void {
    const [live, backfill] = [this.#live, this.#backfill];
    if (live === undefined || backfill === undefined || !this.#room.mayTakeMore()) return;
    while (!live.full && !backfill.full && this.#outbox.length < LIVE_TURNS) {
      const lane = this.#lanes.pick(() => true);
      if (lane === undefined) return;
      const part = this.#take(lane);
      if (part !== undefined) this.#outbox.push(part);
    }
  }

  #tryOne(): Part | undefined {
    if (this.#room.flying() > 0) return undefined;
    this.#trial = this.#suspects.shift();
    return this.#trial;
  }

  /** The lanes have nothing more at present. */
  #nothingRead(): Part | undefined {
    const due = [this.#live?.dueMs, this.#backfill?.dueMs].filter((ms) => ms !== undefined);
    if (due.length === 0) return this.#suspects.length > 0 ? this.#tryOne() : undefined;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#settings.wake, Math.max(1, Math.ceil(Math.min(...due) - monotonicMs())));
    return undefined;
  }

  #mayReadBackfill(): boolean {
    return this.#backfill === undefined ? this.#room.mayBackfill() : !this.#backfill.full;
  }

  #nextBatch(): Part | undefined {
    const [live, backfill] = [this.#live, this.#backfill];
    if (live === undefined || backfill === undefined) return undefined;
    const now = monotonicMs();
    if (live.ready(now) && this.#liveTurns < LIVE_TURNS) {
      this.#liveTurns++;
      return this.#batchOf(live, now, false);
    }
    if (backfill.ready(now) && (live.ready(now) || this.#room.mayBackfill())) {
      this.#liveTurns = 0;
      return this.#batchOf(backfill, now, true);
    }
    return this.#batchOf(live, now, false);
  }

  #batchOf(batcher: Batcher, nowMs: number, historical: boolean): Part | undefined {
    const taken = batcher.take(nowMs);
    if (taken === undefined) return undefined;
    return this.#whole(taken.items, taken.message, historical);
  }

  /** Undefined when the record needs no message, waits for others, or cannot be expressed as a message. */
  #take(lane: Lane): Part | undefined {
    const next = lane.take();
    if (next === undefined) return undefined;
    if ("gap" in next) return this.#gap(next.gap);
    const historical = this.#lanes.isBackfill(lane);
    const { poison, queue } = this.#settings;
    // The clock may have become known since it was read.
    const entry = next.entry.clock === "unsynced" ? queue.timed(next.entry) : next.entry;
    const key = keyOf(entry);
    if (poison.isPoison(key)) {
      this.#room.unsent(jobOf({ kind: "entry", entry }, []), POISON);
      return undefined;
    }
    const messages = this.#encode(entry, historical);
    if (messages === undefined) return undefined;
    return this.#partOf(entry, messages, historical, poison.isSuspect(key));
  }

  #partOf(entry: Entry, messages: readonly Outgoing[], historical: boolean, suspect: boolean): Part | undefined {
    const [first, ...others] = messages;
    const batcher = historical ? this.#backfill : this.#live;
    if (batcher !== undefined && first !== undefined && others.length === 0 && entry.content.kind === "samples") {
      if (suspect) this.#suspects.push(this.#alone(entry, first, historical));
      else batcher.add(entry, first, monotonicMs());
      return undefined;
    }
    const job = jobOf({ kind: "entry", entry }, messages, historical);
    if (first === undefined) {
      this.#room.unsent(job, undefined);
      return undefined;
    }
    if (suspect) {
      this.#suspects.push(...messages.map((message) => partOf(job, message)));
      return undefined;
    }
    for (const message of others) this.#outbox.push(partOf(job, message));
    return partOf(job, first);
  }

  #gap(gap: Gap): Part {
    const { topics, gatewayId } = this.#settings.encoding;
    const message = gapMessage(topics, gatewayId, gap);
    return partOf(jobOf({ kind: "gap", gap }, [message]), message);
  }

  #alone(entry: Entry, message: Outgoing, backfill: boolean): Part {
    const items = [{ entry, body: message.payload }];
    const whole = joined(message, items, this.#settings.encoder.joins ?? "json");
    return this.#whole(items, whole, backfill);
  }

  #whole(items: readonly Batched[], message: Outgoing, backfill: boolean): Part {
    const sent = this.#settings.batch?.gzip === true ? gzipped(message) : message;
    return partOf(jobOf({ kind: "batch", items }, [message], backfill), sent);
  }

  /** Undefined, after it was told, when the record cannot be expressed. */
  #encode(entry: Entry, historical: boolean): readonly Outgoing[] | undefined {
    const { encoder, encoding, keys } = this.#settings;
    // Properties are of one message, so what may share one names itself in its body.
    const shares = this.#live !== undefined && entry.content.kind === "samples";
    try {
      const messages = encoder.encode(entry, { ...encoding, historical, envelope: encoding.envelope || shares });
      return keys ? messages.map((message) => ({ ...message, key: sourceOf(entry) })) : messages;
    } catch (error) {
      this.#room.unsent(jobOf({ kind: "entry", entry }, []), `not encodable: ${messageOf(error)}`);
      return undefined;
    }
  }
}

/** What has its own order. */
function sourceOf({ content }: Entry): string {
  return content.kind === "message" ? content.topic : content.source.topic;
}
