/** What the window begins with, and what it never falls below: a few messages. */
const FIRST_BYTES = 4096;
const LEAST_BYTES = 2048;
/** Queueing that is aimed at, as part of the base round trip, and its bounds in milliseconds. */
const AIM = 0.12;
const AIM_LEAST_MS = 4;
const AIM_MOST_MS = 40;
/**
 * Change of the window per round trip at most: up by this part, down by at most that. What is corrected in one of them is half of
 * what the queue is off: more would swing, for the effect is only seen a round trip later.
 */
const STEP_UP = 0.1;
const STEP_DOWN = 0.25;
const GAIN = 0.5;
/** While the window is below this part of bandwidth × base round trip, it grows by more. */
const BACK_TO = 0.9;
const STEP_BACK = 0.3;
/** Round trips over which the greatest delivery rate counts. */
const RATE_ROUNDS = 10;
/** The base round trip is the least of so many spans of this length, so that a longer way is learnt in the end. */
const BASE_SPANS = 10;
const SPAN_MS = 30_000;

/**
 * How many bytes may be in flight before backfill has to wait: near bandwidth × base round trip, so that the link is full
 * and nothing queues in front of live data. It looks at acknowledgements only. Their least delay of a round trip, over the least
 * ever seen, is what waits in queues on the way (as in TCP Vegas and LEDBAT): the window grows while that is less than aimed
 * at, shrinks while it is more, and halves when acknowledgements are late or messages refused. Times are monotonic milliseconds.
 */
export class BackfillWindow {
  readonly #most: number;
  #bytes = FIRST_BYTES;
  #starting = true;
  readonly #bases: number[] = [];
  #spanMs = 0;
  readonly #rates: number[] = [];
  #round = { startMs: 0, leastMs: Number.POSITIVE_INFINITY, acked: 0, full: false };
  /** Halved, and what is in flight from before says nothing about the new window. */
  #settlesAtMs = 0;
  /** A breath: queues run empty for a round trip, so that the base is seen. */
  #breath: "none" | "due" | "taken" = "none";
  #roundTripMs = 0;

  /** @param most bytes the window never exceeds. */
  constructor(most: number, nowMs: number) {
    this.#most = most;
    this.#spanMs = nowMs;
    this.#begin(nowMs);
  }

  /** Bytes that may be in flight. */
  get bytes(): number {
    return this.#breath === "taken" ? Math.max(LEAST_BYTES, this.#bytes / 4) : this.#bytes;
  }
  /** Round trip without queues, and the present one; 0 while unknown. */
  get baseMs(): number {
    return this.#bases.length === 0 ? 0 : Math.min(...this.#bases);
  }
  get roundTripMs(): number {
    return this.#roundTripMs;
  }
  /** Greatest delivery rate of the last round trips. */
  get bytesPerSecond(): number {
    return Math.max(0, ...this.#rates) * 1000;
  }

  /** Backfill had to wait for the window: it may be too small. */
  full(): void {
    this.#round.full = true;
  }

  /** A message was refused for the moment. */
  refused(nowMs: number): void {
    this.#halve(nowMs, Math.max(this.baseMs, this.#roundTripMs));
  }

  /** A message of `bytes` that was sent at `sentMs` is acknowledged. */
  acknowledged(sentMs: number, bytes: number, nowMs: number): void {
    const tookMs = nowMs - sentMs;
    this.#learn(tookMs, nowMs);
    const round = this.#round;
    round.acked += bytes;
    round.leastMs = Math.min(round.leastMs, tookMs);
    // A round trip is over with the first answer to what was sent in it.
    if (sentMs < round.startMs) return;
    this.#turn(nowMs);
    this.#begin(nowMs);
  }

  #begin(nowMs: number): void {
    this.#round = { startMs: nowMs, leastMs: Number.POSITIVE_INFINITY, acked: 0, full: false };
  }

  #learn(tookMs: number, nowMs: number): void {
    if (nowMs - this.#spanMs >= SPAN_MS || this.#bases.length === 0) {
      this.#spanMs = nowMs;
      if (this.#bases.length > 0) this.#breath = "due";
      this.#bases.push(tookMs);
      if (this.#bases.length > BASE_SPANS) this.#bases.shift();
    } else {
      const last = this.#bases.length - 1;
      this.#bases[last] = Math.min(this.#bases[last] ?? tookMs, tookMs);
    }
  }

  #turn(nowMs: number): void {
    const { startMs, leastMs, acked, full } = this.#round;
    this.#roundTripMs = leastMs;
    if (nowMs > startMs) this.#rates.push(acked / (nowMs - startMs));
    if (this.#rates.length > RATE_ROUNDS) this.#rates.shift();
    const base = this.baseMs;
    const aim = Math.min(AIM_MOST_MS, Math.max(AIM_LEAST_MS, base * AIM));
    const queued = leastMs - base;
    if (queued > base + 4 * aim) this.#halve(nowMs, leastMs);
    else if (nowMs < this.#settlesAtMs) return;
    else if (this.#breath !== "none") this.#breath = this.#breath === "due" ? "taken" : "none";
    else if (this.#starting) this.#start(queued <= aim, full);
    else this.#steer((aim - queued) / aim, this.#stepOf(aim, base), full);
  }

  #halve(nowMs: number, roundTripMs: number): void {
    if (nowMs < this.#settlesAtMs) return;
    this.#starting = false;
    this.#set(this.#bytes / 2);
    this.#settlesAtMs = nowMs + roundTripMs;
  }

  /** Doubles until something queues, then takes what the link has shown to carry. */
  #start(free: boolean, full: boolean): void {
    if (free) {
      if (full) this.#set(this.#bytes * 2);
      return;
    }
    this.#starting = false;
    this.#set(Math.min(this.#bytes, (this.bytesPerSecond / 1000) * this.baseMs));
  }

  /** Quickly back, after halving, to what the link has carried of late. */
  #stepOf(aimMs: number, baseMs: number): number {
    const carried = (this.bytesPerSecond / 1000) * baseMs;
    return this.#bytes < BACK_TO * carried ? STEP_BACK : Math.min(STEP_UP, (GAIN * aimMs) / baseMs);
  }

  /** `room` is 1 when nothing queues, 0 at what is aimed at, and less when more queues. */
  #steer(room: number, step: number, full: boolean): void {
    if (room > 0 && !full) return;
    this.#set(this.#bytes * (1 + Math.max(-STEP_DOWN, step * room)));
  }

  #set(bytes: number): void {
    this.#bytes = Math.min(this.#most, Math.max(LEAST_BYTES, bytes));
  }
}
