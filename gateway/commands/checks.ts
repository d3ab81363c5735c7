import { distance } from "fastest-levenshtein";
import type { Tag, TagWrite, WriteLimits } from "../core/driver.ts";
import type { Sample, Value } from "../core/sample.ts";
import type { Command } from "./command.ts";
import type { TagOutcome } from "./result.ts";
import type { Target } from "./target.ts";

/** Why single tags of a command may not be written; nothing of it is written then. */
export type Faults = ReadonlyMap<string, TagOutcome>;

/** The tags of a command with what is to be written, or what is wrong with them. */
export function resolve(command: Command, target: Target): { writes: TagWrite[] } | { faults: Faults } {
  const writes: TagWrite[] = [];
  const faults = new Map<string, TagOutcome>();
  for (const { tag: name, value } of command.writes) {
    const tag = target.device.tags.find((one) => one.name === name);
    const limits = tag && target.limits(tag);
    const error = !tag
      ? unknownTag(name, target.device.tags)
      : limits
        ? boundsFault(value, limits)
        : "not writable: the configuration does not say so";
    if (error !== undefined) faults.set(name, { error });
    else if (tag) writes.push({ tag, value });
  }
  return faults.size > 0 ? { faults } : { writes };
}

/** Whether one of the tags has limits that need its present value. */
export function needsPresent(writes: readonly TagWrite[], target: Target): boolean {
  return writes.some(({ tag }) => target.limits(tag)?.maxStep !== undefined);
}

/** Tags that would move too far at once from what the device holds. */
export function stepFaults(writes: readonly TagWrite[], present: readonly Sample[], target: Target): Faults {
  const faults = new Map<string, TagOutcome>();
  for (const { tag, value } of writes) {
    const step = target.limits(tag)?.maxStep;
    if (step === undefined) continue;
    const sample = present.find((one) => one.tag === tag.name);
    const error = stepFault(value, step, sample);
    if (error !== undefined) faults.set(tag.name, { before: sample?.value, error });
  }
  return faults;
}

function stepFault(value: Value, step: number, sample: Sample | undefined): string | undefined {
  if (sample?.quality !== "good" || sample.value === undefined) {
    return `its present value is not known (${sample?.reason ?? "not read"}), so the step cannot be judged`;
  }
  const from = Number(sample.value);
  const by = Math.abs(Number(value) - from);
  return by <= step ? undefined : `a step of ${by} from ${from}; at most ${step} at once`;
}

function boundsFault(value: Value, { min, max }: WriteLimits): string | undefined {
  if (min === undefined && max === undefined) return undefined;
  const number = typeof value === "number" || typeof value === "bigint" ? Number(value) : Number.NaN;
  if (Number.isNaN(number)) return `a number is needed, not ${String(value)}`;
  if (min !== undefined && number < min) return `${number} is below the least, ${min}`;
  if (max !== undefined && number > max) return `${number} is above the greatest, ${max}`;
  return undefined;
}

function unknownTag(name: string, tags: readonly Tag[]): string {
  const near = tags.map((tag) => tag.name).sort((a, b) => distance(a, name) - distance(b, name))[0];
  const hint = near !== undefined && distance(near, name) <= 3 ? `; did you mean ${near}?` : "";
  return `the device has no such tag${hint}`;
}
