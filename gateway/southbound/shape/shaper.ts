import { scaler, unscaled } from "../../core/decimal.ts";
import type { Sample, Value } from "../../core/sample.ts";
import type { Shape, Span } from "../../core/shape.ts";

type Step = (value: Value) => Value | Bad;
interface Bad {
  readonly bad: string;
}

/** Why a value cannot be written. */
export interface Refusal {
  readonly reason: string;
}

/** A shape made ready to be used: up from the driver, and down to it. */
export class Shaper {
  readonly #shape: Shape;
  readonly #steps: readonly Step[];
  readonly #whole: boolean;

  /** `type` of the tag: where the device holds whole numbers, nothing else is sent down. */
  constructor(shape: Shape, type = "") {
    this.#shape = shape;
    this.#whole = /^u?int/.test(type);
    this.#steps = stepsOf(shape);
  }

  /** Only good samples are touched. */
  up(sample: Sample): Sample {
    if (sample.quality !== "good" || sample.value === undefined) return sample;
    let value = sample.value;
    for (const step of this.#steps) {
      const result = step(value);
      if (isBad(result)) return { tag: sample.tag, quality: "bad", reason: result.bad, monoMs: sample.monoMs };
      value = result;
    }
    return value === sample.value ? sample : { ...sample, value };
  }

  /** What the driver must write so that `value` is read back. */
  down(value: Value): { readonly value: Value } | Refusal {
    const { texts, clamp, limits, scale = 1, offset = 0 } = this.#shape;
    const plain = texts ? byText(texts, value) : { value };
    if ("reason" in plain) return plain;
    for (const span of [clamp, limits]) {
      if (!span) continue;
      if (!isNumeric(plain.value)) return { reason: "a number is needed" };
      const [least, greatest] = span;
      if (plain.value < least) return { reason: `${plain.value} is below the least, ${least}` };
      if (plain.value > greatest) return { reason: `${plain.value} is above the greatest, ${greatest}` };
    }
    if (scale === 1 && offset === 0) return plain;
    if (!isNumeric(plain.value) || !Number.isFinite(Number(plain.value))) return { reason: "a number is needed" };
    const raw = unscaled(plain.value, { scale, offset });
    if (!this.#whole || typeof raw === "bigint" || Number.isInteger(raw)) return { value: raw };
    return { reason: `${plain.value} does not fit: the device holds steps of ${Math.abs(scale)}` };
  }
}

function stepsOf({ errorValues, scale, offset, clamp, limits, texts }: Shape): Step[] {
  const steps: Step[] = [];
  if (errorValues) {
    const none = new Set(errorValues);
    steps.push((value) => (none.has(value) ? { bad: "error value" } : value));
  }
  if (scale !== undefined || offset !== undefined) {
    const scaling = scaler({ scale: scale ?? 1, offset: offset ?? 0 });
    steps.push(
      numbers((value) => {
        const result = scaling(value);
        return typeof result === "number" && !Number.isFinite(result) ? { bad: "not a number" } : result;
      }),
    );
  }
  if (clamp) steps.push(numbers((value) => within(value, clamp)));
  if (limits) {
    const [least, greatest] = limits;
    steps.push(numbers((value) => (value < least || value > greatest ? { bad: "out of range" } : value)));
  }
  if (texts) steps.push((value) => (value instanceof Uint8Array ? value : (texts.get(String(value)) ?? String(value))));
  return steps;
}

function numbers(step: (value: number | bigint) => Value | Bad): Step {
  return (value) => (isNumeric(value) ? step(value) : value);
}

function within(value: number | bigint, [least, greatest]: Span): number | bigint {
  if (value < least) return least;
  return value > greatest ? greatest : value;
}

/** The value that a text stands for; digits are taken as they are. */
function byText(texts: ReadonlyMap<string, string>, value: Value): { readonly value: Value } | Refusal {
  if (typeof value !== "string") {
    return texts.has(String(value))
      ? { value }
      : { reason: `${String(value)} is none of ${[...texts.keys()].join(", ")}` };
  }
  const found = [...texts].filter(([, text]) => text === value).map(([key]) => key);
  const [key] = found;
  if (key === undefined) return { reason: `"${value}" is none of ${[...new Set(texts.values())].join(", ")}` };
  if (found.length > 1) return { reason: `"${value}" stands for ${found.join(" and ")}: write the number` };
  if (key === "true" || key === "false") return { value: key === "true" };
  const number = Number(key);
  return { value: key.trim() !== "" && Number.isSafeInteger(number) ? number : key };
}

function isNumeric(value: Value): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

function isBad(result: Value | Bad): result is Bad {
  return typeof result === "object" && "bad" in result;
}
