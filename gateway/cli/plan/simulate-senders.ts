import type { Senders } from "./erlang.ts";
import { randomOf } from "./random.ts";
import { adjusted, type Row } from "./regression.ts";

export interface Simulated {
  readonly waits: number;
  /** Seconds, over all messages. */
  readonly wait: number;
  readonly utilisation: number;
  readonly arrivals: number;
  /** Half of the 95 % interval of `wait`, as part of it; absent where nobody waited. */
  readonly spread?: number;
  /** Chance was taken out by flow balance, because playing alone would have taken too long. */
  readonly adjusted: boolean;
}

export interface SimulationBounds {
  /** Spread to be reached; more is simulated until then. */
  readonly spread: number;
  readonly mostEvents: number;
}
const BOUNDS: SimulationBounds = { spread: 0.008, mostEvents: 30_000_000 };
const BATCHES = 64;
const FIRST_EVENTS = 640_000;
/** A batch lasts at least so many service times: shorter ones know of each other. */
const LEAST_SERVICES = 8;

/**
 * M/M/k, played: one arrival or departure after the other, from the load that it has on average, until the result is as sure as
 * asked for. Where that would take too long (many senders near full load), what is known of such averages helps: flow balance says
 * which of them must be 0, and how far the batches are off from that tells how much of their difference is chance (control
 * variates). Undefined at full load, where there is no mean.
 */
export function simulateSenders(
  senders: Senders,
  seed: number,
  bounds: SimulationBounds = BOUNDS,
): Simulated | undefined {
  const { rate, service, k } = senders;
  const load = rate * service;
  if (load >= k || load === 0) return undefined;
  const play = new Play(load, k, randomOf(seed));
  let events = Math.min(bounds.mostEvents, Math.max(FIRST_EVENTS, Math.ceil(2 * load * LEAST_SERVICES * BATCHES)));
  // What the beginning was like must not be seen in the result.
  play.run(Math.ceil(events / 8));
  let batches: Float64Array[] = [];
  for (;;) {
    const size = Math.ceil(events / BATCHES);
    while (batches.length < BATCHES) batches.push(play.run(size));
    const found = summary(batches, senders, play, false);
    if (found.spread !== undefined && found.spread <= bounds.spread) return found;
    const never = found.spread === undefined && events >= bounds.mostEvents / 8;
    if (never || events * 2 > bounds.mostEvents) return never ? found : summary(batches, senders, play, true);
    events *= 2;
    batches = pairs(batches);
  }
}

/** Time is counted in service times, and each stay counts with its mean: less noise, and the same averages. */
class Play {
  readonly load: number;
  readonly k: number;
  readonly #random: () => number;
  /** Probability that the next event is an arrival, by how many are present. */
  #up: Float64Array;
  #present: number;

  constructor(load: number, k: number, random: () => number) {
    this.load = load;
    this.k = k;
    this.#random = random;
    this.#present = Math.round(load);
    this.#up = this.#table(k + 1024);
  }

  /** Mean time for which so many are present at a stretch. */
  stay(present: number): number {
    return 1 / (this.load + Math.min(present, this.k));
  }

  /** How often each number was present. */
  run(events: number): Float64Array {
    const random = this.#random;
    let up = this.#up;
    let visits = new Float64Array(up.length);
    let present = this.#present;
    for (let n = 0; n < events; n++) {
      visits[present] = (visits[present] ?? 0) + 1;
      if (random() < (up[present] ?? 0)) present++;
      else present--;
      if (present === up.length) {
        up = this.#table(2 * up.length);
        this.#up = up;
        const more = new Float64Array(up.length);
        more.set(visits);
        visits = more;
      }
    }
    this.#present = present;
    return visits;
  }

  #table(length: number): Float64Array {
    return Float64Array.from({ length }, (_, present) => this.load * this.stay(present));
  }
}

/** Two batches as one each: as many again are then played. */
function pairs(batches: readonly Float64Array[]): Float64Array[] {
  const joined: Float64Array[] = [];
  for (let at = 0; at + 1 < batches.length; at += 2) {
    const [one, other] = [batches[at] ?? new Float64Array(), batches[at + 1] ?? new Float64Array()];
    const both = new Float64Array(Math.max(one.length, other.length));
    for (const visits of [one, other]) for (const [n, count] of visits.entries()) both[n] = (both[n] ?? 0) + count;
    joined.push(both);
  }
  return joined;
}

function summary(
  batches: readonly Float64Array[],
  { service, k, rate }: Senders,
  play: Play,
  adjust: boolean,
): Simulated {
  const means = batches.map((visits) => meansOf(visits, play, adjust));
  const waits = adjusted(means.map(({ full, balance }): Row => [full, ...balance]));
  const queued = adjusted(means.map((mean): Row => [mean.queued, ...mean.balance]));
  const busy = means.reduce((sum, mean) => sum + mean.busy, 0) / means.length;
  const seen = queued.mean > 0;
  return {
    // Poisson arrivals see what the average over time is.
    waits: Math.max(0, waits.mean),
    // Little: what waits on average, over the rate of arrivals.
    wait: seen ? (queued.mean / (rate * service)) * service : 0,
    utilisation: busy / k,
    arrivals: Math.round(means.reduce((sum, mean) => sum + mean.arrivals, 0)),
    ...(seen ? { spread: (1.96 * queued.error) / queued.mean } : {}),
    adjusted: adjust && seen,
  };
}

interface Means {
  /** Part of the time in which all senders were at work. */
  readonly full: number;
  readonly queued: number;
  readonly busy: number;
  readonly arrivals: number;
  /** What flow balance says is 0 on average; nothing where it is not asked for. */
  readonly balance: readonly number[];
}

/** Averages over the time of a batch. */
function meansOf(visits: Float64Array, play: Play, adjust: boolean): Means {
  const { load, k } = play;
  const functions = adjust ? balanceOf(load, k) : [];
  const balance = functions.map(() => 0);
  let [time, full, queued, busy, arrivals] = [0, 0, 0, 0, 0];
  for (let n = 0; n < visits.length; n++) {
    const count = visits[n] ?? 0;
    if (count === 0) continue;
    const spent = count * play.stay(n);
    const working = Math.min(n, k);
    time += spent;
    busy += working * spent;
    arrivals += load * spent;
    if (n >= k) full += spent;
    queued += Math.max(0, n - k) * spent;
    for (const [at, f] of functions.entries()) {
      const here = f(n);
      const drift = load * (f(n + 1) - here) + (n === 0 ? 0 : working * (f(n - 1) - here));
      balance[at] = (balance[at] ?? 0) + drift * spent;
    }
  }
  const over = (sum: number) => sum / time;
  return { full: over(full), queued: over(queued), busy: over(busy), arrivals, balance: balance.map(over) };
}

/** Whatever a function of the number present gains by arrivals it loses by departures. */
function balanceOf(load: number, k: number): ((n: number) => number)[] {
  const scale = Math.sqrt(load) + 1;
  const away = (n: number) => (n - load) / scale;
  const waiting = (n: number) => Math.max(0, n - k);
  return [
    (n) => away(n),
    (n) => away(n) ** 2,
    (n) => Math.max(0, away(n)) ** 3,
    (n) => Math.exp(Math.min(30, 1.5 * Math.min(away(n), away(k)))),
    (n) => waiting(n),
    (n) => waiting(n) ** 2,
  ];
}
