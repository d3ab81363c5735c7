/** Losses in a row, with something in flight, after which messages go one at a time. */
const CAREFUL_AFTER = 2;
/** Acknowledgements over one connection that end it. */
const TRUST_AFTER = 16;
/** Strikes that condemn; between two of them the record also fails as the first of a connection: five losses in all. */
const STRIKES = 3;
/** The gateway's status is only left out, never lost. */
const STATUS_STRIKES = 3;

export const STATUS_KEY = "status";

interface Suspect {
  strikes: number;
  /** Records acknowledged, in all, at the last strike. */
  ackedAt: number;
}

/**
 * Finds the record over which the far side ends the connection, so that it does not keep all others from being delivered. After
 * two losses in a row messages go one by one; then what was in flight at a loss is known, and becomes a suspect. In turn, one
 * connection begins with the suspect and the next with others. Only what was alone in flight at three losses, with others
 * acknowledged before each, and at every connection that began with it, is the cause: a server or a link that fails whatever
 * is sent condemns nothing. Outlives connections.
 */
export class Poison {
  readonly #suspects = new Map<string, Suspect>();
  #losses = 0;
  #acked = 0;
  /** Acknowledged over this connection. */
  #here = 0;
  #turn = false;

  /** A connection begins. */
  begin(): void {
    this.#here = 0;
    this.#turn = !this.#turn;
  }

  /** How many messages may be in flight. */
  window(inFlight: number): number {
    return this.#losses >= CAREFUL_AFTER ? 1 : inFlight;
  }

  /** Whether a suspect may be sent now: others were acknowledged over this connection, or it is its turn to be the first. */
  get mayTry(): boolean {
    return this.#here > 0 || this.suspectsFirst;
  }

  get suspectsFirst(): boolean {
    return this.#turn && this.#suspects.size > (this.#suspects.has(STATUS_KEY) ? 1 : 0);
  }

  isSuspect(key: string): boolean {
    return this.#suspects.has(key);
  }

  /** Whether the record is to be given up. */
  isPoison(key: string): boolean {
    return (this.#suspects.get(key)?.strikes ?? 0) >= STRIKES;
  }

  get statusMuted(): boolean {
    return (this.#suspects.get(STATUS_KEY)?.strikes ?? 0) >= STATUS_STRIKES;
  }

  /** A message got its verdict. */
  answered(keys: readonly string[]): void {
    if (this.#suspects.size > 0) for (const key of keys) this.#suspects.delete(key);
    if (keys.length === 0 || keys[0] === STATUS_KEY) return;
    this.#acked++;
    if (++this.#here >= TRUST_AFTER) this.#losses = 0;
  }

  /** These are owed no more. */
  forget(keys: readonly string[]): void {
    for (const key of keys) this.#suspects.delete(key);
  }

  /** The connection was lost. @param inFlight per message without a verdict, the keys of its records. */
  lost(inFlight: readonly (readonly string[])[]): void {
    const [only, ...others] = inFlight;
    if (only === undefined) return;
    this.#losses++;
    if (others.length > 0) return;
    for (const key of only) this.#strike(key);
  }

  #strike(key: string): void {
    const suspect = this.#suspects.get(key);
    if (suspect === undefined) this.#suspects.set(key, { strikes: 1, ackedAt: this.#acked });
    else if (key === STATUS_KEY || suspect.ackedAt < this.#acked) {
      suspect.strikes++;
      suspect.ackedAt = this.#acked;
    }
  }
}
