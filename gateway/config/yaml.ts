import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
} from "yaml";
import type { Locate, Path, Position } from "./faults.ts";
import { meaningOf } from "./syntax.ts";

/** Expanded values in all, aliases counted at each use. */
const MAX_VALUES = 250_000;
const MAX_DEPTH = 64;
const MAX_SYNTAX_FAULTS = 5;

export interface ParsedYaml {
  /** Undefined when there are faults that leave nothing to look at. */
  readonly value: unknown;
  readonly faults: readonly { readonly position: Position; readonly path: Path; readonly message: string }[];
  readonly locate: Locate;
}

/**
 * YAML 1.2 (core schema) with anchors, aliases and `<<` merge keys. Keys that appear twice, aliases that multiply and
 * custom tags are faults. Never throws.
 */
export function parseYaml(text: string): ParsedYaml {
  const lines = new LineCounter();
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const doc = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    merge: true,
    schema: "core",
    logLevel: "error",
  });
  const locate: Locate = (path, part) => {
    if (part !== "text") return at(offsetOf(doc, path, part));
    const offset = offsetOf(doc, path);
    return at(/["']/.test(text[offset] ?? "") ? offset + 1 : offset);
  };
  const syntax = firstPerLine(
    [...doc.errors, ...doc.warnings].map((e) => ({ position: at(e.pos[0]), path: [], message: meaningOf(e) })),
  );
  if (syntax.length > 0) return { value: undefined, faults: syntax.slice(0, MAX_SYNTAX_FAULTS), locate };
  const faults = [...aliasFaults(doc, at), ...duplicateKeys(doc, at)];
  if (faults.some((fault) => fault.path.length === 0)) return { value: undefined, faults, locate };
  const value = expand(doc);
  if (!isSmall(value)) {
    const message = `aliases multiply to more than ${MAX_VALUES} values or ${MAX_DEPTH} levels; write less with aliases`;
    return { value: undefined, faults: [{ position: { line: 1, column: 1 }, path: [], message }], locate };
  }
  return { value, faults, locate };
}

type Fault = ParsedYaml["faults"][number];

function firstPerLine(faults: readonly Fault[]): Fault[] {
  const seen = new Set<number>();
  const sorted = [...faults].sort((a, b) => a.position.line - b.position.line || a.position.column - b.position.column);
  return sorted.filter(({ position }) => !seen.has(position.line) && seen.add(position.line));
}

function aliasFaults(doc: Document.Parsed, at: (offset: number) => Position): Fault[] {
  const faults: Fault[] = [];
  visit(doc, {
    Alias(_key, alias) {
      if (alias.resolve(doc) !== undefined) return;
      const message = `no anchor &${alias.source} above this alias; define it first, or put the text in quotes`;
      faults.push({ position: at(alias.range?.[0] ?? 0), path: [], message });
    },
  });
  return faults;
}

function duplicateKeys(doc: Document.Parsed, at: (offset: number) => Position): Fault[] {
  const faults: Fault[] = [];
  const walk = (node: unknown, path: Path): void => {
    if (isSeq(node)) for (const [index, item] of node.items.entries()) walk(item, [...path, index]);
    if (!isMap(node)) return;
    const first = new Map<string, number>();
    for (const pair of node.items) {
      const key = keyOf(pair);
      const offset = rangeStart(pair.key) ?? 0;
      const line = first.get(key);
      if (line === undefined) first.set(key, at(offset).line);
      else if (key !== "<<") {
        const message = `key "${key}" appears twice (first on line ${line}); keep one`;
        faults.push({ position: at(offset), path: [...path, key], message });
      }
      walk(pair.value, [...path, key]);
    }
  };
  walk(doc.contents, []);
  return faults;
}

/** The plain value; undefined where an alias multiplies beyond what can be useful, or contains itself. */
function expand(doc: Document.Parsed): unknown {
  try {
    const value: unknown = doc.toJS({ maxAliasCount: MAX_VALUES });
    return value;
  } catch {
    return TOO_MUCH;
  }
}

const TOO_MUCH = Symbol("too much");

function isSmall(root: unknown): boolean {
  let left = MAX_VALUES;
  const walk = (value: unknown, depth: number): boolean => {
    left -= 1;
    if (left < 0 || depth > MAX_DEPTH) return false;
    if (typeof value !== "object" || value === null) return true;
    return Object.values(value).every((item) => walk(item, depth + 1));
  };
  return root !== TOO_MUCH && walk(root, 0);
}

/** Offset of the key or value at `path`, or of the deepest thing on the way to it that exists. */
function offsetOf(doc: Document.Parsed, path: Path, part: "key" | "value" = "value"): number {
  let node: unknown = doc.contents;
  let offset = rangeStart(node) ?? 0;
  for (const [index, step] of path.entries()) {
    const target = isAlias(node) ? node.resolve(doc) : node;
    if (isSeq(target) && typeof step === "number") {
      node = target.items[step];
    } else if (isMap(target)) {
      const pair = findPair(doc, target.items, String(step));
      if (pair === undefined) return offset;
      const key = rangeStart(pair.key);
      node = pair.value;
      if (index === path.length - 1 && (part === "key" || isEmpty(node))) return key ?? offset;
    } else {
      return offset;
    }
    offset = rangeStart(node) ?? offset;
  }
  return offset;
}

function findPair(doc: Document.Parsed, items: readonly Pair[], key: string): Pair | undefined {
  const own = items.findLast((pair) => keyOf(pair) === key);
  if (own !== undefined) return own;
  for (const pair of items) {
    if (keyOf(pair) !== "<<") continue;
    const merged = isSeq(pair.value) ? pair.value.items : [pair.value];
    for (const item of merged) {
      const source = isAlias(item) ? item.resolve(doc) : item;
      const found = isMap(source) ? findPair(doc, source.items, key) : undefined;
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function isEmpty(node: unknown): boolean {
  return isScalar(node) && node.value === null && node.source === "";
}

/** The key as text; the parser makes a symbol of a merge key. */
function keyOf(pair: Pair): string {
  const key: unknown = isScalar(pair.key) ? pair.key.value : pair.key;
  return typeof key === "symbol" ? (key.description ?? "") : String(key);
}

function rangeStart(node: unknown): number | undefined {
  return isNodeLike(node) ? node.range?.[0] : undefined;
}

function isNodeLike(node: unknown): node is Node {
  return typeof node === "object" && node !== null && "range" in node;
}
