import { isMap, isPair, isScalar, isSeq, LineCounter, parseAllDocuments } from "yaml";
import { ConfigError } from "../core/errors.ts";

const MASK = "[secret]";
const IN_URL = /^([a-z][a-z0-9+.-]*:\/\/)([^\s/@"']+)@/i;

/** A scalar in a text: where it stands, what it says, and how it is written. */
interface Place {
  readonly from: number;
  readonly to: number;
  readonly value: unknown;
  readonly written: string;
}

/**
 * A text as the editor gives it back, with the secrets that are masked in it put in again from the text before: what stands under the same
 * keys, entries of lists known by their names.
 * @throws ConfigError with the line of each for which nothing stands.
 */
export function unmask(text: string, before: string, file: string): string {
  if (!text.includes(MASK)) return text;
  const lines = new LineCounter();
  const known = placesIn(before);
  const edits: { readonly from: number; readonly to: number; readonly by: string }[] = [];
  const faults: string[] = [];
  for (const [path, place] of placesIn(text, lines)) {
    if (typeof place.value !== "string" || !place.value.includes(MASK)) continue;
    const by = unmasked(place, known.get(path));
    if (by === undefined) {
      const { line, col } = lines.linePos(place.from);
      faults.push(
        `${file}:${line}:${col}: ${path}: no secret stands here to be kept; write it, or better where it is: { env: NAME }`,
      );
    } else edits.push({ from: place.from, to: place.to, by });
  }
  if (faults.length > 0) throw new ConfigError(faults.join("\n"));
  const edited = edits
    .sort((a, b) => b.from - a.from)
    .reduce((left, { from, to, by }) => `${left.slice(0, from)}${by}${left.slice(to)}`, text);
  return commentsFrom(before, edited);
}

function unmasked({ value, written }: Place, before: Place | undefined): string | undefined {
  if (before === undefined || value === undefined) return undefined;
  if (value === MASK) return before.written;
  const credentials = typeof before.value === "string" ? IN_URL.exec(before.value)?.[2] : undefined;
  return credentials === undefined ? undefined : written.replace(`${MASK}@`, `${credentials}@`);
}

/** Every scalar by the keys above it. */
function placesIn(text: string, lines?: LineCounter): Map<string, Place> {
  const found = new Map<string, Place>();
  const walk = (node: unknown, path: string): void => {
    if (isScalar(node) && node.range) {
      const [from, to] = node.range;
      found.set(path, { from, to, value: node.value, written: text.slice(from, to) });
    } else if (isMap(node)) {
      for (const pair of node.items)
        if (isPair(pair)) walk(pair.value, `${path}.${keyOf(pair.key)}`.replace(/^\./, ""));
    } else if (isSeq(node)) {
      for (const [index, item] of node.items.entries()) walk(item, `${path}[${nameOf(item) ?? index}]`);
    }
  };
  for (const document of parseAllDocuments(text, lines ? { lineCounter: lines } : {}))
    if ("contents" in document) walk(document.contents, "");
  return found;
}

function keyOf(key: unknown): string {
  return String(isScalar(key) ? key.value : key);
}

function nameOf(item: unknown): string | undefined {
  const name = isMap(item) ? item.get("name") : undefined;
  return typeof name === "string" ? name : undefined;
}

/** What is commented out is masked by its line: the same line as before gets its text again. */
function commentsFrom(before: string, text: string): string {
  if (!text.includes(MASK)) return text;
  const secret = /((?:pass\w*|secret|token|credential)s?["']?\s*:\s+).*$/i;
  const known = new Map(
    before.split("\n").flatMap((line) => (line.includes("#") ? [[line.replace(secret, "$1"), line] as const] : [])),
  );
  return text
    .split("\n")
    .map((line) => (line.includes(MASK) ? (known.get(line.replace(secret, "$1")) ?? line) : line))
    .join("\n");
}
