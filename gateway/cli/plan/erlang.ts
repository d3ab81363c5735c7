/** A queue with Poisson arrivals, exponential service and k servers (M/M/k). Times are seconds. */
export interface Senders {
  /** Messages a second. */
  readonly rate: number;
  /** Mean time of one message with one sender. */
  readonly service: number;
  /** Senders that work at once. */
  readonly k: number;
}

export interface Waiting {
  /** Part of the senders' time that is used; 1 or more: what waits grows without end. */
  readonly utilisation: number;
  /** Probability that a message has to wait (Erlang C). */
  readonly waits: number;
  /** Mean time that it waits, over all messages, and with its service; infinite at full load. */
  readonly wait: number;
  readonly total: number;
  /** Messages that wait, on average. */
  readonly queued: number;
}

/**
 * Erlang's B by its recursion, B(j) = aB(j-1) / (j + aB(j-1)): every term lies between 0 and 1, so that nothing overflows, and
 * k = 10,000 takes 10,000 steps. `load` is in erlangs.
 */
export function erlangB(load: number, k: number): number {
  let blocked = 1;
  for (let servers = 1; servers <= k; servers++) blocked = (load * blocked) / (servers + load * blocked);
  return blocked;
}

/** Erlang's C: the probability that somebody has to wait; 1 where the load is not below k. */
export function erlangC(load: number, k: number): number {
  if (load >= k) return 1;
  const blocked = erlangB(load, k);
  return blocked / (1 - (load / k) * (1 - blocked));
}

/** @throws RangeError unless k is a whole number from 1 to 10,000 and the others are not negative. */
export function waiting({ rate, service, k }: Senders): Waiting {
  if (!Number.isInteger(k) || k < 1 || k > 10_000) throw new RangeError("k must be a whole number from 1 to 10000");
  if (!(rate >= 0) || !(service >= 0)) throw new RangeError("rate and service time must not be negative");
  const load = rate * service;
  const utilisation = load / k;
  const waits = erlangC(load, k);
  if (utilisation >= 1) return { utilisation, waits: 1, wait: Infinity, total: Infinity, queued: Infinity };
  const wait = service === 0 ? 0 : (waits * service) / (k * (1 - utilisation));
  return { utilisation, waits, wait, total: wait + service, queued: rate * wait };
}
