import type { DerivedTag, Rule } from "../../core/derived.ts";
import { compile, EvaluationError } from "../../core/expression/compile.ts";
import { bitsOf } from "../../core/expression/functions.ts";
import type { Sample, Value } from "../../core/sample.ts";
import { type Advance, CounterWatch } from "./counter.ts";
import { Shaper } from "./shaper.ts";

type Outcome = { readonly value: Value } | { readonly reason: string };
type Work = (inputs: readonly Value[], monoMs: number) => Outcome;

/**
 * The value of one derived tag. It is bad when one of the tags it is made from is, with a reason that names it; its time is
 * that of the latest of them.
 */
export class Derivation {
  readonly tag: DerivedTag;
  readonly #inputs: readonly string[];
  readonly #work: Work;
  readonly #shaper: Shaper | undefined;

  constructor(tag: DerivedTag) {
    this.tag = tag;
    const { names, work } = workOf(tag.rule, tag.inputs);
    this.#inputs = names;
    this.#work = work;
    this.#shaper = tag.shape && new Shaper(tag.shape);
  }

  /** `latest`: the last sample of every tag that had one. `triggerMs`: when the one that set it off was read. */
  sample(latest: ReadonlyMap<string, Sample>, triggerMs: number): Sample {
    const tag = this.tag.name;
    const values: Value[] = [];
    let monoMs = this.#inputs.length === 0 ? triggerMs : Number.NEGATIVE_INFINITY;
    let reason: string | undefined;
    for (const name of this.#inputs) {
      const input = latest.get(name);
      if (input) monoMs = Math.max(monoMs, input.monoMs);
      if (input?.quality === "good" && input.value !== undefined) values.push(input.value);
      else reason ??= `${name}: ${input ? (input.reason ?? "not good") : "not read yet"}`;
    }
    if (!Number.isFinite(monoMs)) monoMs = triggerMs;
    const outcome = reason === undefined ? this.#outcome(values, monoMs) : { reason };
    if ("reason" in outcome) return { tag, quality: "bad", reason: outcome.reason, monoMs };
    const sample: Sample = { tag, quality: "good", value: outcome.value, monoMs };
    return this.#shaper ? this.#shaper.up(sample) : sample;
  }

  #outcome(values: readonly Value[], monoMs: number): Outcome {
    try {
      return this.#work(values, monoMs);
    } catch (error) {
      if (!(error instanceof EvaluationError)) throw error;
      return { reason: error.message };
    }
  }
}

function workOf(rule: Rule, inputs: readonly string[]): { readonly names: readonly string[]; readonly work: Work } {
  switch (rule.kind) {
    case "expression": {
      const { names, run } = compile(rule.node);
      return { names, work: (values) => ({ value: run(values) }) };
    }
    case "bits": {
      const { first, last, single } = rule;
      return {
        names: inputs,
        work: ([value]) => {
          const bits = bitsOf(numeric(value), first, last);
          return { value: single ? bits === 1 : bits };
        },
      };
    }
    case "difference": {
      const watch = new CounterWatch(rule);
      return {
        names: inputs,
        work: ([value], monoMs) => {
          const advance = watch.read(numeric(value), monoMs);
          return "by" in advance ? { value: advance.by } : advance;
        },
      };
    }
    case "rate": {
      const watch = new CounterWatch(rule);
      let last: { readonly monoMs: number; readonly outcome: Outcome } | undefined;
      return {
        names: inputs,
        work: ([value], monoMs) => {
          // Set off by another tag, and nothing newer was read.
          if (last && monoMs <= last.monoMs) return last.outcome;
          const outcome = rateOf(watch.read(numeric(value), monoMs), rule.perMs);
          last = { monoMs, outcome };
          return outcome;
        },
      };
    }
  }
}

function rateOf(advance: Advance, perMs: number): Outcome {
  if (!("by" in advance)) return advance;
  return { value: Number(((Number(advance.by) * perMs) / advance.inMs).toPrecision(12)) };
}

function numeric(value: Value | undefined): number | bigint {
  if (typeof value === "number" || typeof value === "bigint") return value;
  throw new EvaluationError("a number is needed");
}
