import { type Document, isMap, isPair, isScalar, isSeq, type Node, parseDocument, type Scalar, visit } from "yaml";
import { messageOf } from "../core/errors.ts";
import { isRecord } from "./explain.ts";
import { keysOf, type Schema, schemasAt, valuesOf } from "./schema-walk.ts";

/** What can stand at a place. */
export interface Candidate {
  readonly label: string;
  /** Takes the place of `from` to `to`. */
  readonly insert: string;
  readonly required: boolean;
  /** `text`, `whole number`, `list` and the like; empty for a value. */
  readonly type: string;
  readonly description: string;
}

export interface Completion {
  /** Offsets in the text: what is being written there. */
  readonly from: number;
  readonly to: number;
  /** Where that is: `links[0].devices[0].unit`; empty at the top. */
  readonly path: string;
  /** What stands there is for. */
  readonly about: string;
  readonly candidates: readonly Candidate[];
}

type Path = readonly (string | number)[];

/** A place that is being written, with a mark put there so that the rest can be parsed. */
interface Place {
  readonly path: Path;
  readonly isKey: boolean;
  readonly isFlow: boolean;
  readonly document: Document;
}

/** No configuration has it. */
const MARK = "millraceCompletesHere";
const MOST = 200;
const VALUE = /(?:^|[\s{,[-])["']?[\w.-]+["']?:[ \t]+$/;

/**
 * What can stand at an offset of a configuration, by its JSON Schema. The text may be broken as one is that is being written: what
 * parses tells the place.
 */
export function complete(text: string, offset: number, schema: Schema): Completion {
  const before = /["']?[\w./-]*$/.exec(text.slice(0, offset))?.[0] ?? "";
  const after = /^[\w./-]*["']?/.exec(text.slice(offset))?.[0] ?? "";
  const [from, to] = [offset - before.length, offset + after.length];
  const line = text.slice(text.lastIndexOf("\n", from - 1) + 1, from);
  const nothing: Completion = { from, to, path: "", about: "", candidates: [] };
  if (/(?:^|\s)#/.test(withoutQuoted(line))) return nothing;
  const has = text.slice(to).match(/^["']?[ \t]*:/) !== null;
  for (const mark of marksFor(line, has)) {
    const place = placeIn(`${text.slice(0, from)}${mark}${text.slice(to)}`);
    if (place === undefined) continue;
    const found = place.isKey ? keysAt(place, schema, has, line.length) : valuesAt(place, schema);
    if (found.candidates.length > 0) return { ...nothing, ...found, candidates: found.candidates.slice(0, MOST) };
  }
  return nothing;
}

function withoutQuoted(line: string): string {
  return line.replace(/"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'/g, "");
}

/** How the mark may stand there so that the rest is understood; the likeliest first. */
function marksFor(line: string, hasColon: boolean): string[] {
  if (hasColon) return [MARK];
  if (VALUE.test(line)) return [MARK, `${MARK},`];
  return [`${MARK}: ~`, `${MARK}: ~,`, `, ${MARK}: ~`, MARK, `${MARK},`];
}

function placeIn(text: string): Place | undefined {
  const document = parseDocument(text, { logLevel: "silent", strict: false, keepSourceTokens: false });
  let found: Place | undefined;
  visit(document, {
    Scalar(kind, node, parents) {
      if (node.value !== MARK) return undefined;
      found = { ...pathOf(node, parents), isKey: kind === "key", document };
      return visit.BREAK;
    },
  });
  return found;
}

function pathOf(node: Scalar, parents: readonly unknown[]): { path: (string | number)[]; isFlow: boolean } {
  const path: (string | number)[] = [];
  let isFlow = false;
  const chain = [...parents, node];
  for (const [index, one] of chain.entries()) {
    if (isPair(one) && one.key !== node) path.push(String(isScalar(one.key) ? one.key.value : one.key));
    else if (isSeq(one)) path.push(one.items.indexOf(chain[index + 1] as Node));
    if ((isMap(one) || isSeq(one)) && one.flow === true) isFlow = true;
  }
  return { path, isFlow };
}

/** What the document says; a text that is being written may have what has no value. */
function contentOf(document: Document): unknown {
  try {
    // What is being written is not known yet: it makes no choice.
    return document.toJS({ maxAliasCount: 100, reviver: (_, value) => (value === MARK ? null : value) });
  } catch (error) {
    return { unreadable: messageOf(error) };
  }
}

function keysAt(place: Place, schema: Schema, hasColon: boolean, column: number): Omit<Completion, "from" | "to"> {
  const { path, document, isFlow } = place;
  const { schemas, value } = schemasAt(schema, path, contentOf(document));
  const present = isRecord(value) ? new Set(Object.keys(value)) : new Set<string>();
  const candidates = keysOf(schemas)
    .filter(({ label }) => !present.has(label))
    .map(({ shape, ...one }) => ({ ...one, insert: hasColon ? one.label : keyText(one.label, shape, isFlow, column) }))
    .sort((a, b) => Number(b.required) - Number(a.required));
  if (candidates.length === 0 && !isFlow && schemas.some(({ items }) => isRecord(items)))
    candidates.push({ label: "-", insert: "- ", required: false, type: "", description: "An entry of the list." });
  return { path: textOf(path), about: aboutOf(schemas), candidates };
}

/** A key as one goes on writing after it. `column` is where it stands. */
function keyText(label: string, shape: "scalar" | "map" | "list", isFlow: boolean, column: number): string {
  if (shape === "scalar" || isFlow) return `${label}: `;
  return `${label}:\n${" ".repeat(column + 2)}${shape === "list" ? "- " : ""}`;
}

function valuesAt({ path, document }: Place, schema: Schema): Omit<Completion, "from" | "to"> {
  const { schemas } = schemasAt(schema, path, contentOf(document));
  const candidates = valuesOf(schemas).map(({ text, description }) => ({
    label: text,
    insert: text,
    required: false,
    type: "",
    description,
  }));
  return { path: textOf(path), about: aboutOf(schemas), candidates };
}

function aboutOf(schemas: readonly Schema[]): string {
  for (const { description } of schemas) if (typeof description === "string") return description;
  return "";
}

function textOf(path: Path): string {
  return path
    .map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`))
    .join("")
    .replace(/^\./, "");
}
