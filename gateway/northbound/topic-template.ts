/** What a topic template is filled with. A record that has no such thing has it undefined. */
export interface TopicParts {
  readonly gateway: string;
  /** The local topic. */
  readonly topic: string;
  readonly link?: string | undefined;
  readonly device?: string | undefined;
  readonly group?: string | undefined;
  readonly tag?: string | undefined;
  /** What the wildcards of a filter stood for, in their order. */
  readonly wildcards?: readonly (string | undefined)[];
}

/** Names of one level each, besides `{topic}` with its forms and `{1}`, `{2}` of a filter. */
const NAMES = ["gateway", "topic", "link", "device", "group", "tag"] as const;
type Name = (typeof NAMES)[number];
/** Those of a device. A captured message has none of them. */
const OF_DEVICE: ReadonlySet<string> = new Set(["link", "device", "group", "tag"]);

type Piece =
  | string
  | { readonly kind: "name"; readonly name: Name }
  /** One-based; negative from the end. `to` is absent for a single level. */
  | { readonly kind: "levels"; readonly from: number; readonly to?: number }
  | { readonly kind: "wildcard"; readonly index: number };
type Placeholder = Exclude<Piece, string>;

const PLACEHOLDER = /\{([^{}]*)\}/g;
const LEVELS = /^topic\[(-?\d{1,3})(\.\.(-?\d{1,3})?)?\]$/;

export interface TemplateFault {
  readonly message: string;
  /** With an unknown placeholder: it, and what is known here. */
  readonly unknown?: { readonly whole: string; readonly known: readonly string[] };
}

/**
 * A topic with placeholders: `{gateway}`, `{topic}`, `{topic[2]}` (one level, from 1; from the end with `-1`),
 * `{topic[2..]}`, `{topic[2..3]}`, `{link}`, `{device}`, `{group}`, `{tag}`, and `{1}`, `{2}` for the wildcards of a filter.
 */
export class TopicTemplate {
  readonly text: string;
  readonly #levels: readonly (readonly Piece[])[];
  readonly #all: readonly Placeholder[];

  /** @param wildcards how many a filter has. @throws RangeError where `templateFault` has something to say. */
  constructor(text: string, wildcards = 0) {
    const fault = templateFault(text, wildcards);
    if (fault !== undefined) throw new RangeError(fault.message);
    this.text = text;
    this.#levels = text.split("/").map(pieces);
    this.#all = this.#levels.flat().filter((piece) => typeof piece !== "string");
  }

  /** Whether what it makes depends on the local topic. */
  get hasTopic(): boolean {
    return this.#all.some((piece) => piece.kind === "levels" || (piece.kind === "name" && piece.name === "topic"));
  }
  get hasDevice(): boolean {
    return this.#all.some((piece) => piece.kind === "name" && OF_DEVICE.has(piece.name));
  }
  get hasTag(): boolean {
    return this.#all.some((piece) => piece.kind === "name" && piece.name === "tag");
  }
  get hasWildcard(): boolean {
    return this.#all.some((piece) => piece.kind === "wildcard");
  }
  get hasGateway(): boolean {
    return this.#all.some((piece) => piece.kind === "name" && piece.name === "gateway");
  }

  /** A level with a placeholder that the record has nothing for is left out. */
  fill(parts: TopicParts): string {
    const levels: string[] = [];
    for (const level of this.#levels) {
      let made = "";
      for (const piece of level) {
        const value = typeof piece === "string" ? piece : textOf(piece, parts);
        if (value === undefined) break;
        made += value;
        if (piece === level.at(-1)) levels.push(made);
      }
      if (level.length === 0) levels.push("");
    }
    return levels.join("/");
  }

  /** The topic of a message of the gateway's own: `own` stands where the record's topic would, or behind the rest. */
  fillOwn(gateway: string, own: string): string {
    let used = false;
    const levels: string[] = [];
    for (const level of this.#levels) {
      const about = level.filter((piece) => typeof piece !== "string");
      const isOwn = about.every((piece) => piece.kind === "name" && piece.name === "gateway");
      if (isOwn) levels.push(level.map((piece) => (typeof piece === "string" ? piece : gateway)).join(""));
      else if (!used && about.some(isTopic)) {
        levels.push(level.map((piece) => ownPiece(piece, gateway, own)).join(""));
        used = true;
      } else if (about.some((piece) => piece.kind === "name" && piece.name === "topic")) levels.push(own);
    }
    if (!used) levels.push(own);
    return levels.join("/");
  }
}

/** What is wrong with a template, before any record; undefined when nothing is. */
export function templateFault(text: string, wildcards = 0): TemplateFault | undefined {
  for (const [whole, inside = ""] of text.matchAll(PLACEHOLDER)) {
    const fault = placeholderFault(whole, inside, wildcards);
    if (fault !== undefined) return fault;
  }
  if (/[{}]/.test(text.replaceAll(PLACEHOLDER, ""))) {
    return { message: 'a "{" or "}" is left over; placeholders are written {name}' };
  }
  return undefined;
}

/** A name as one level of a topic: what cannot stand there becomes `_`. */
export function asLevel(name: string): string {
  return name.replaceAll(/[/+#\p{Cc}]/gu, "_");
}

function placeholderFault(whole: string, inside: string, wildcards: number): TemplateFault | undefined {
  if (NAMES.some((name) => name === inside)) return undefined;
  const levels = LEVELS.exec(inside);
  if (levels !== null) {
    const [, from, range, to] = levels;
    if (Number(from) === 0 || (to !== undefined && Number(to) === 0)) {
      return { message: `${whole}: levels count from 1, or from the end with -1` };
    }
    if (range !== undefined && to !== undefined && Number(from) > 0 && Number(to) > 0 && Number(to) < Number(from)) {
      return { message: `${whole} ends before it begins; write {topic[${to}..${from}]}` };
    }
    return undefined;
  }
  if (/^\d+$/.test(inside)) {
    const index = Number(inside);
    if (index >= 1 && index <= wildcards) return undefined;
    const has = wildcards === 0 ? "there is none here" : `"from" has ${wildcards}`;
    return { message: `${whole} stands for a wildcard of "from", and ${has}; wildcards count from {1}` };
  }
  const known = [...NAMES.map((name) => `{${name}}`), "{topic[1]}"];
  if (wildcards > 0) known.push("{1}");
  return { message: `unknown placeholder "${whole}"; use ${known.join(", ")}`, unknown: { whole, known } };
}

function pieces(level: string): Piece[] {
  const found: Piece[] = [];
  let at = 0;
  for (const match of level.matchAll(PLACEHOLDER)) {
    if (match.index > at) found.push(level.slice(at, match.index));
    found.push(pieceOf(match[1] ?? ""));
    at = match.index + match[0].length;
  }
  if (at < level.length) found.push(level.slice(at));
  return found;
}

function pieceOf(inside: string): Piece {
  const name = NAMES.find((one) => one === inside);
  if (name !== undefined) return { kind: "name", name };
  const levels = LEVELS.exec(inside);
  if (levels === null) return { kind: "wildcard", index: Number(inside) };
  const from = Number(levels[1]);
  if (levels[2] === undefined) return { kind: "levels", from };
  return { kind: "levels", from, to: levels[3] === undefined ? -1 : Number(levels[3]) };
}

function textOf(piece: Placeholder, parts: TopicParts): string | undefined {
  if (piece.kind === "wildcard") return parts.wildcards?.[piece.index - 1];
  if (piece.kind === "levels") return levelsOf(parts.topic, piece.from, piece.to ?? piece.from);
  const value = parts[piece.name];
  return value === undefined || !OF_DEVICE.has(piece.name) ? value : asLevel(value);
}

function levelsOf(topic: string, from: number, to: number): string | undefined {
  const levels = topic.split("/");
  const first = from > 0 ? from - 1 : levels.length + from;
  const last = to > 0 ? to - 1 : levels.length + to;
  if (first < 0 || first > last || first >= levels.length) return undefined;
  return levels.slice(first, last + 1).join("/");
}

function isTopic(piece: Placeholder): boolean {
  return piece.kind === "levels" || piece.kind === "wildcard" || (piece.kind === "name" && piece.name === "topic");
}

function ownPiece(piece: Piece, gateway: string, own: string): string {
  if (typeof piece === "string") return piece;
  if (isTopic(piece)) return own;
  return piece.kind === "name" && piece.name === "gateway" ? gateway : "";
}
