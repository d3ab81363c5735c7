import { ExpressionError } from "./error.ts";
import { ARITY, FUNCTION_NAMES } from "./functions.ts";
import { type Token, tokensOf } from "./tokens.ts";

/** An expression as a tree. Names are those of tags; there is nothing else to reach. */
export type Node =
  | { readonly kind: "value"; readonly value: number | bigint | string | boolean }
  | { readonly kind: "name"; readonly name: string; readonly at: number }
  | { readonly kind: "call"; readonly name: string; readonly args: readonly Node[] }
  | { readonly kind: "unary"; readonly op: "-" | "!"; readonly operand: Node }
  | { readonly kind: "binary"; readonly op: BinaryOp; readonly left: Node; readonly right: Node }
  | { readonly kind: "choice"; readonly test: Node; readonly yes: Node; readonly no: Node };

export type BinaryOp = keyof typeof STRENGTH;

/** How tightly operators bind; equal ones from left to right. */
const STRENGTH = {
  "||": 1,
  "&&": 2,
  "==": 3,
  "!=": 3,
  "<": 4,
  "<=": 4,
  ">": 4,
  ">=": 4,
  "+": 5,
  "-": 5,
  "*": 6,
  "/": 6,
  "%": 6,
} as const;

const MAX_DEPTH = 50;

/**
 * Numbers (also 0x10), 'text', true, false, names of tags (`{flow-rate}` where it is not a plain word), + - * / %,
 * comparisons, && || !, `test ? a : b`, brackets, and the functions of `FUNCTION_NAMES`.
 * @throws ExpressionError.
 */
export function parseExpression(text: string): Node {
  const parser = new Parser(tokensOf(text), text.length);
  const node = parser.choice();
  parser.end();
  return node;
}

/** The tags an expression needs, each once, and where it first stands. */
export function namesIn(node: Node): ReadonlyMap<string, number> {
  const names = new Map<string, number>();
  const walk = (each: Node): void => {
    if (each.kind === "name" && !names.has(each.name)) names.set(each.name, each.at);
    for (const child of childrenOf(each)) walk(child);
  };
  walk(node);
  return names;
}

function childrenOf(node: Node): readonly Node[] {
  switch (node.kind) {
    case "call":
      return node.args;
    case "unary":
      return [node.operand];
    case "binary":
      return [node.left, node.right];
    case "choice":
      return [node.test, node.yes, node.no];
    default:
      return [];
  }
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #length: number;
  #next = 0;
  #depth = 0;

  constructor(tokens: readonly Token[], length: number) {
    this.#tokens = tokens;
    this.#length = length;
  }

  choice(): Node {
    if (++this.#depth > MAX_DEPTH) throw new ExpressionError("nested too deeply", this.#at());
    const test = this.#binary(1);
    let node = test;
    if (this.#take("?")) {
      const yes = this.choice();
      this.#need(":", 'the ":" of "? :" is missing');
      node = { kind: "choice", test, yes, no: this.choice() };
    }
    this.#depth--;
    return node;
  }

  end(): void {
    const token = this.#tokens[this.#next];
    if (token) throw new ExpressionError(`"${token.text}" does not belong here`, token.at);
  }

  #binary(least: number): Node {
    let left = this.#unary();
    for (;;) {
      const token = this.#tokens[this.#next];
      if (token?.kind !== "sign" || !isBinary(token.text) || STRENGTH[token.text] < least) return left;
      this.#next++;
      left = { kind: "binary", op: token.text, left, right: this.#binary(STRENGTH[token.text] + 1) };
    }
  }

  #unary(): Node {
    for (const op of ["-", "!"] as const) {
      if (!this.#take(op)) continue;
      if (++this.#depth > MAX_DEPTH) throw new ExpressionError("nested too deeply", this.#at());
      const operand = this.#unary();
      this.#depth--;
      return { kind: "unary", op, operand };
    }
    return this.#primary();
  }

  #primary(): Node {
    const token = this.#tokens[this.#next];
    if (!token) throw new ExpressionError("something is missing at the end", this.#length);
    this.#next++;
    if (token.kind === "value") return { kind: "value", value: token.value };
    if (token.kind === "name") {
      return !token.quoted && this.#take("(") ? this.#call(token) : { kind: "name", name: token.text, at: token.at };
    }
    if (token.text !== "(") {
      throw new ExpressionError(`a value is missing before "${token.text}"`, token.at);
    }
    const node = this.choice();
    this.#need(")", 'a ")" is missing');
    return node;
  }

  #call({ text: name, at }: Token): Node {
    const arity = ARITY.get(name);
    if (!arity) throw new ExpressionError(`unknown function "${name}"`, at, { word: name, known: FUNCTION_NAMES });
    const args: Node[] = [];
    if (!this.#take(")")) {
      do args.push(this.choice());
      while (this.#take(","));
      this.#need(")", `the ")" of ${name}( is missing`);
    }
    const [least, most] = arity;
    if (args.length < least || args.length > most) {
      const wanted =
        least === most ? `${least}` : most === Number.POSITIVE_INFINITY ? `${least} or more` : `${least} or ${most}`;
      throw new ExpressionError(
        `${name} takes ${wanted} ${wanted === "1" ? "value" : "values"}, not ${args.length}`,
        at,
      );
    }
    return { kind: "call", name, args };
  }

  #take(sign: string): boolean {
    const token = this.#tokens[this.#next];
    if (token?.kind !== "sign" || token.text !== sign) return false;
    this.#next++;
    return true;
  }

  #need(sign: string, message: string): void {
    if (!this.#take(sign)) throw new ExpressionError(message, this.#at());
  }

  #at(): number {
    return this.#tokens[this.#next]?.at ?? this.#length;
  }
}

function isBinary(text: string): text is BinaryOp {
  return Object.hasOwn(STRENGTH, text);
}
