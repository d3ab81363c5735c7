export type WaveName = "sine" | "ramp" | "counter" | "random" | "toggle";

export interface Wave {
  readonly wave: WaveName;
  readonly min: number;
  readonly max: number;
  /** Milliseconds: of one turn; of one step for `counter`, `random` and `toggle`. */
  readonly period: number;
}

/** Spreads neighbouring addresses over the whole period. */
const GOLDEN = 0.618_033_988_749_895;

/** The value at a time: a pure function, so that whoever knows the clock knows what the device answered. */
export function waveAt({ wave, min, max, period }: Wave, timeMs: number, address: number): number {
  const turn = timeMs / period + address * GOLDEN;
  const step = Math.floor(turn);
  switch (wave) {
    case "sine":
      return min + ((max - min) * (1 + Math.sin(2 * Math.PI * turn))) / 2;
    case "ramp":
      return min + (max - min) * (turn - step);
    case "counter":
      return min + (step % Math.max(1, Math.floor(max - min) + 1));
    case "random":
      return min + (max - min) * noise(step, address);
    case "toggle":
      return step % 2 === 0 ? min : max;
  }
}

/** The same two numbers always give the same fraction of one. */
function noise(step: number, address: number): number {
  let hash = Math.imul(step ^ (address * 0x9e37_79b9), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
