import { parseToken, type Token, tokenText } from "./tokens.ts";

/** What became of the records of all cycles. */
export interface Account {
  /** Records that were acknowledged. */
  readonly acknowledged: number;
  readonly duplicates: number;
  /** Acknowledged, and never delivered. */
  readonly lost: number;
  /** Delivered with other bytes than were stored. */
  readonly changed: number;
  readonly outOfOrder: number;
  /** Records that the queue itself reported as gone. */
  readonly toldAsGap: number;
  /** Some of the lost ones: cycle, lane and number. */
  readonly examples: readonly string[];
}

interface Lane {
  acknowledged: number;
  delivered: number;
  readonly missing: Set<number>;
}

const MOST_EXAMPLES = 5;

/**
 * Books on what a tested process said. Each lane numbers its records from 1 and waits for the acknowledgement of one
 * append before the next, so what was acknowledged is a number, and what was delivered has to rise by one.
 *
 *     a <token>            acknowledged, and all before it of its lane
 *     d <token> <token> …  delivered, byte for byte as stored
 *     x <what>             something was delivered that nobody stored
 *     o <what>             a seq that does not rise
 *     g <count>            records told as a gap, at the end
 */
export class Ledger {
  readonly #lanes = new Map<string, Lane>();
  #duplicates = 0;
  #changed = 0;
  #outOfOrder = 0;
  #toldAsGap = 0;

  /** Takes one line; others than those above are nothing to it. */
  line(line: string): void {
    const [word, ...rest] = line.split(" ");
    if (word === "x") this.#changed++;
    else if (word === "o") this.#outOfOrder++;
    else if (word === "g") this.#toldAsGap += Number(rest[0]);
    else if (word === "a" || word === "d") {
      for (const text of rest) {
        const token = parseToken(text);
        if (token === undefined) this.#changed++;
        else if (word === "a") this.#acknowledge(token);
        else this.#deliver(token);
      }
    }
  }

  account(): Account {
    const lost: string[] = [];
    let acknowledged = 0;
    for (const [key, lane] of this.#lanes) {
      acknowledged += lane.acknowledged;
      for (const n of lane.missing) if (n <= lane.acknowledged) lost.push(`${key}.${n}`);
      for (let n = lane.delivered + 1; n <= lane.acknowledged; n++) lost.push(`${key}.${n}`);
    }
    return {
      acknowledged,
      duplicates: this.#duplicates,
      lost: lost.length,
      changed: this.#changed,
      outOfOrder: this.#outOfOrder,
      toldAsGap: this.#toldAsGap,
      examples: lost.slice(0, MOST_EXAMPLES),
    };
  }

  #acknowledge(token: Token): void {
    const lane = this.#lane(token);
    lane.acknowledged = Math.max(lane.acknowledged, token.n);
  }

  #deliver(token: Token): void {
    const lane = this.#lane(token);
    if (token.n > lane.delivered) {
      for (let n = lane.delivered + 1; n < token.n; n++) lane.missing.add(n);
      lane.delivered = token.n;
    } else if (lane.missing.delete(token.n)) this.#outOfOrder++;
    else this.#duplicates++;
  }

  #lane(token: Token): Lane {
    const key = tokenText(token).replace(/\.\d+$/, "");
    let lane = this.#lanes.get(key);
    if (!lane) {
      lane = { acknowledged: 0, delivered: 0, missing: new Set() };
      this.#lanes.set(key, lane);
    }
    return lane;
  }
}
