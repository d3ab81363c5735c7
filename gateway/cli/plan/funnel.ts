import { randomOf } from "./random.ts";

/**
 * A funnel: each of the k consumers of stage n is reached with the probability with which stage n-1 is passed, by itself, and
 * one of them is enough. So P(n) = 1 - (1 - P(n-1))^k.
 */
export interface Funnel {
  /** P(0). */
  readonly first: number;
  readonly k: number;
  readonly stages: number;
}

/** P(0) to P(stages). @throws RangeError naming what is out of bounds. */
export function funnel({ first, k, stages }: Funnel): number[] {
  if (!(first >= 0 && first <= 1)) throw new RangeError("a probability is from 0 to 1");
  if (!Number.isInteger(k) || k < 1 || k > 10_000) throw new RangeError("k must be a whole number from 1 to 10000");
  if (!Number.isInteger(stages) || stages < 1 || stages > 100) throw new RangeError("there must be 1 to 100 stages");
  const passes = [first];
  let last = first;
  for (let stage = 1; stage <= stages; stage++) {
    // As logarithms: 1 - (1 - p)^k loses every digit of a small p.
    last = last === 1 ? 1 : -Math.expm1(k * Math.log1p(-last));
    passes.push(last);
  }
  return passes;
}

/** Messages that pass a stage, so that their share is known to half a percent. */
const ENOUGH = 400_000;
/** Below this probability only those are drawn that have it, and how far they lie apart. */
const SPARSE = 0.1;

/**
 * The same, played with messages: each is offered to k consumers, each of which has it with the share of messages that passed
 * the stage before, as it was played. Gives shares from P(0) on.
 */
export function simulateFunnel({ first, k, stages }: Funnel, seed: number): number[] {
  const random = randomOf(seed);
  const shares = [first];
  let share = first;
  for (let stage = 1; stage <= stages; stage++) {
    share = share === 0 ? 0 : playStage(share, k, random);
    shares.push(share);
  }
  return shares;
}

function playStage(probability: number, k: number, random: () => number): number {
  const messages = Math.ceil(ENOUGH * Math.max(4, 1 / Math.min(1, k * probability)));
  const passed =
    probability < SPARSE ? sparse(probability, k, messages, random) : dense(probability, k, messages, random);
  return passed / messages;
}

function dense(probability: number, k: number, messages: number, random: () => number): number {
  let passed = 0;
  for (let message = 0; message < messages; message++) {
    for (let consumer = 0; consumer < k; consumer++) {
      if (random() >= probability) continue;
      passed++;
      break;
    }
  }
  return passed;
}

/** All consumers of all messages in one row: the distance from one that has it to the next is geometric. */
function sparse(probability: number, k: number, messages: number, random: () => number): number {
  const scale = Math.log1p(-probability);
  const end = messages * k;
  let passed = 0;
  let last = -1;
  for (let at = gap(); at < end; at += 1 + gap()) {
    const message = Math.floor(at / k);
    if (message > last) passed++;
    last = message;
  }
  return passed;

  function gap(): number {
    return Math.floor(Math.log(1 - random()) / scale);
  }
}
