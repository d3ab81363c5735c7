import type { z } from "zod";
import { scaled } from "../core/decimal.ts";
import type { CounterRule, DerivedTag, Rule } from "../core/derived.ts";
import type { Tag } from "../core/driver.ts";
import { resultType } from "../core/expression/compile.ts";
import { ExpressionError } from "../core/expression/error.ts";
import { type Node, namesIn, parseExpression } from "../core/expression/parse.ts";
import type { derivedTag } from "../core/options/tag.ts";
import type { Faults, Path } from "./faults.ts";
import { closest, hint } from "./suggest.ts";
import { reportOf, shapeOf } from "./tag-shape.ts";

/** A tag of a device, as far as others are made from it. */
export interface TagDraft {
  readonly tag: Tag;
  /** As its driver has it, before texts. */
  readonly type: string;
  /** What one count of the device is, after every scale. */
  readonly factor: number;
  readonly whole: object;
}

type Keys = z.output<typeof derivedTag>;

/** One of `derived` as written, understood as far as it can be alone. */
interface Draft {
  readonly keys: Keys;
  readonly path: Path;
  readonly node: Node | undefined;
  readonly inputs: readonly string[];
}

/** What is known of a tag that others are made from. */
type Known = Pick<TagDraft, "tag" | "type" | "factor">;

const PER_MS = { "per-second": 1000, "per-minute": 60_000, "per-hour": 3_600_000 } as const;

/** The derived tags of a device, those that others need first. What is wrong is added to `faults`, and left out. */
export function readDerived(
  list: readonly Keys[],
  tags: readonly TagDraft[],
  path: Path,
  faults: Faults,
): DerivedTag[] {
  const known = new Map<string, Known>(tags.map((draft) => [draft.tag.name, draft]));
  const names = [...known.keys(), ...list.map(({ name }) => name)];
  const drafts = list.flatMap((keys, index) => {
    const own = [...path, index];
    if (names.indexOf(keys.name) !== known.size + index) {
      faults.add([...own, "name"], `"${keys.name}" is taken already; names must be unique within a device`);
      return [];
    }
    return readOne(keys, names, own, faults) ?? [];
  });
  if (drafts.length < list.length) return [];
  const ready: DerivedTag[] = [];
  let left = drafts;
  while (left.length > 0) {
    const now = left.filter(({ inputs, keys }) => [...inputs, ...asList(keys.on)].every((name) => known.has(name)));
    if (now.length === 0) {
      for (const draft of left) tellCycle(draft, left, faults);
      return [];
    }
    for (const draft of now) {
      const made = finish(draft, known, faults);
      known.set(draft.keys.name, made);
      ready.push(made.tag);
    }
    left = left.filter((draft) => !now.includes(draft));
  }
  return ready;
}

const SHOWN_NAMES = 8;
const WAYS = ["as", "bit", "bits"] as const;

function readOne(keys: Keys, names: readonly string[], path: Path, faults: Faults): Draft | undefined {
  const { expr, from, on } = keys;
  const ways = WAYS.filter((way) => keys[way] !== undefined);
  const fault = wayFault(keys, ways);
  if (fault !== undefined) {
    faults.add(path, fault);
    return undefined;
  }
  let node: Node | undefined;
  const unknown = (key: "from" | "on", name: string): void => {
    faults.add([...path, key], `there is no tag "${name}" in this device${near(name, names)}`);
  };
  if (expr !== undefined) {
    node = parsed(expr, names, [...path, "expr"], faults);
    if (!node) return undefined;
  }
  if (from !== undefined && !names.includes(from)) unknown("from", from);
  if (on !== undefined && !names.includes(on)) unknown("on", on);
  if (faults.has(path)) return undefined;
  const inputs = node ? [...namesIn(node).keys()] : asList(from);
  if (inputs.length === 0 && on === undefined) {
    faults.add([...path, "expr"], 'it needs no tag, so nothing tells when: name one, or add "on"');
    return undefined;
  }
  return { keys, path, node, inputs };
}

function wayFault({ expr, from, as, rollover, maxStep }: Keys, ways: readonly string[]): string | undefined {
  const both = [...(expr === undefined ? [] : ["expr"]), ...ways];
  if (both.length === 0) return 'what it is is missing: give "expr", or "from" with "as", "bit" or "bits"';
  if (both.length > 1) return `${both.map((key) => `"${key}"`).join(" and ")} exclude each other: keep one`;
  if (expr !== undefined && from !== undefined) return '"from" does nothing beside "expr": remove it';
  if (expr === undefined && from === undefined) return `"${both[0]}" of which tag? add "from"`;
  if (as === undefined && (rollover !== undefined || maxStep !== undefined)) {
    return '"rollover" and "maxStep" are for "as": remove them';
  }
  return undefined;
}

/** The tag that was probably meant, or some that there are. */
function near(name: string, names: readonly string[]): string {
  const meant = closest(name, names);
  if (meant !== undefined) return `; did you mean "${meant}"?`;
  const some = names.slice(0, SHOWN_NAMES).join(", ");
  return `; there are ${some}${names.length > SHOWN_NAMES ? " and others" : ""}`;
}

function parsed(expr: string, names: readonly string[], path: Path, faults: Faults): Node | undefined {
  const at = (index: number) => `at character ${index + 1}`;
  try {
    const node = parseExpression(expr);
    let toldTo = 0;
    for (const [name, index] of namesIn(node)) {
      if (names.includes(name) || index < toldTo) continue;
      // `flow-rate` is read as a subtraction.
      const meant = names.find((known) => known.length > name.length && expr.startsWith(known, index));
      if (meant !== undefined) toldTo = index + meant.length;
      const cure = meant === undefined ? near(name, names) : `; write {${meant}} in braces`;
      faults.addInside(path, index, `there is no tag "${name}" (${at(index)})${cure}`);
    }
    return faults.has(path) ? undefined : node;
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    const { unknown } = error;
    const cure = unknown ? hint(unknown.word, unknown.known, "there are") : "";
    faults.addInside(path, error.at, `${error.message} (${at(error.at)})${cure}`);
    return undefined;
  }
}

function tellCycle({ keys, path, inputs }: Draft, left: readonly Draft[], faults: Faults): void {
  const waits = [...inputs, ...asList(keys.on)].filter((name) => left.some((other) => other.keys.name === name));
  faults.add(path, `"${keys.name}" is made from itself, by way of ${waits.join(", ")}: break the circle`);
}

function finish({ keys, path, node, inputs }: Draft, known: ReadonlyMap<string, Known>, faults: Faults) {
  const triggers = keys.on === undefined ? inputs : [keys.on];
  const sources = triggers.flatMap((name) => known.get(name)?.tag ?? []);
  const fastest = sources.toSorted((a, b) => a.everyMs - b.everyMs)[0];
  const everyMs = fastest?.everyMs ?? 1000;
  const from = known.get(inputs[0] ?? "");
  const { rule, type } = node
    ? { rule: { kind: "expression" as const, node }, type: resultType(node) }
    : simple(keys, from, path, faults);
  if (keys.as === "difference") checkDifference(keys, path, faults);
  const shape = shapeOf(keys, type, {}, path, faults);
  const tag: DerivedTag = {
    name: keys.name,
    everyMs,
    stream: keys.stream ?? fastest?.stream ?? "telemetry",
    ...reportOf(keys, everyMs, path, faults),
    ...(shape && { shape }),
    ...(keys.unit === undefined ? {} : { unit: keys.unit }),
    type: shape?.texts ? "string" : type,
    options: {},
    rule,
    inputs,
    triggers,
  };
  return { tag, type, factor: 1 };
}

/** A difference that is not sent is lost for whoever adds them up. */
function checkDifference(keys: Keys, path: Path, faults: Faults): void {
  for (const key of ["deadband", "onChange", "rate"] as const) {
    if (keys[key] === undefined || keys[key] === false) continue;
    faults.add(
      [...path, key],
      `a difference that is not sent is lost: remove "${key}", or use it with "as: per-second"`,
    );
  }
}

function simple(keys: Keys, from: Known | undefined, path: Path, faults: Faults): { rule: Rule; type: string } {
  const { as, bit, bits } = keys;
  const type = from?.tag.type ?? "float64";
  const whole = !/^(bool|string|bytes)/.test(type);
  if (!whole)
    faults.add([...path, "from"], `numbers are needed, and "${keys.from}" is a ${type}: use another, or "expr"`);
  if (as !== undefined && from) {
    const counter = counterOf(keys, from, path, faults);
    if (as === "difference") return { rule: { kind: "difference", ...counter }, type: counted(from) };
    return { rule: { kind: "rate", perMs: PER_MS[as], ...counter }, type: "float64" };
  }
  if (/^float/.test(type))
    faults.add([...path, "from"], `"${keys.from}" is a ${type}, which has no bits to tell: use a whole number`);
  if (bit !== undefined) return { rule: { kind: "bits", first: bit, last: bit, single: true }, type: "bool" };
  const [first = 0, last = first] = String(bits).split("..").map(Number);
  if (last < first || last > 63)
    faults.add([...path, "bits"], `${bits} is no range of bits: the lower one first, up to 63`);
  const width = last - first + 1;
  return {
    rule: { kind: "bits", first, last, single: false },
    type: width <= 16 ? "uint16" : width <= 32 ? "uint32" : "uint64",
  };
}

function counted({ type, factor }: Known): string {
  return /^u?int/.test(type) && Number.isInteger(factor) ? "int64" : "float64";
}

const BITS: Readonly<Record<string, number>> = { "16 bit": 16, "32 bit": 32, "64 bit": 64 };

function counterOf({ rollover, maxStep }: Keys, from: Known, path: Path, faults: Faults): CounterRule {
  const bits = typeof rollover === "string" ? BITS[rollover] : Number(/^uint(16|32|64)$/.exec(from.type)?.[1] ?? 0);
  const counts = typeof rollover === "number" ? rollover : bits ? 2n ** BigInt(bits) : undefined;
  const modulus = counts === undefined ? undefined : scaled(counts, { scale: from.factor, offset: 0 });
  if (maxStep !== undefined && modulus !== undefined && maxStep >= Number(modulus)) {
    faults.add([...path, "maxStep"], `at ${Number(modulus)} the counter begins again: use less`);
  }
  return { ...(modulus === undefined ? {} : { modulus }), ...(maxStep === undefined ? {} : { maxStep }) };
}

function asList(name: string | undefined): string[] {
  return name === undefined ? [] : [name];
}
