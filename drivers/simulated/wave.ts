import type { Value } from "../../gateway/core/sample.ts";
import type { TagSettings, TypeName, WaveName } from "./options.ts";

/** Bounds of the whole-number types, inclusive. */
export const INTEGERS: Partial<Record<TypeName, readonly [least: bigint, greatest: bigint]>> = {
  int16: [-(2n ** 15n), 2n ** 15n - 1n],
  uint16: [0n, 2n ** 16n - 1n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

/**
 * The value of a tag at a time: the same for the same settings, seed and time, on every machine and after every restart.
 * `key` names the tag within the plant, so that tags with the same wave do not move as one. `wallMs` is Unix time.
 */
export function valueAt(settings: TagSettings, seed: number, key: string, wallMs: number): Value {
  const { type, wave, min, max, period } = settings;
  const offset = fraction(`${seed}/${key}`);
  const turns = wallMs / period + (wave === "constant" ? 0 : offset);
  if (wave === "counter") return shaped(type, count(min, max, Math.floor(turns)));
  const level = LEVELS[wave](turns, `${seed}/${key}`);
  if (type === "bool" && wave !== "constant") return level >= 0.5;
  return shaped(type, min + level * (max - min));
}

/** From 0 (`min`) to 1 (`max`). */
const LEVELS: Record<Exclude<WaveName, "counter">, (turns: number, key: string) => number> = {
  sine: (turns) => (1 + Math.sin(2 * Math.PI * turns)) / 2,
  ramp: (turns) => turns - Math.floor(turns),
  random: (turns, key) => fraction(`${key}/${Math.floor(turns)}`),
  toggle: (turns) => (turns - Math.floor(turns) < 0.5 ? 0 : 1),
  constant: () => 0,
};

function count(min: number, max: number, step: number): number {
  return min + (step % (Math.floor(max - min) + 1));
}

function shaped(type: TypeName, value: number): Value {
  if (type === "bool") return value >= 0.5;
  if (type === "string") return String(Math.round(value));
  if (type === "float32") return Math.fround(value);
  const bounds = INTEGERS[type];
  if (!bounds) return value;
  const whole = Math.round(value);
  if (Number.isSafeInteger(whole)) return whole;
  const exact = BigInt(whole);
  return exact < bounds[0] ? bounds[0] : exact > bounds[1] ? bounds[1] : exact;
}

/** A hash of the text as a number from 0 to below 1 (FNV-1a, 32 bit, with a final mix). */
function fraction(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
