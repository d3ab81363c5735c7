/** What a parameter of a profile can be. */
export type Scalar = number | string | boolean;

const PLACEHOLDER = /\{([^{}]*)\}/g;
const WHOLE = /^\{([^{}]*)\}$/;
const TOKEN = /\s*(?:(\d+(?:\.\d+)?)|([A-Za-z_]\w*)|([-+*/()]))/y;

/**
 * Text with its placeholders filled in: `{base+4}` of a text is written into it, and a text that is nothing but one, as
 * `"{ct/5}"`, becomes its value, a number too.
 * @throws RangeError naming the fault and the cure.
 */
export function fillIn(text: string, parameters: ReadonlyMap<string, Scalar>): Scalar {
  const whole = WHOLE.exec(text)?.[1];
  if (whole !== undefined) return evaluate(whole, parameters);
  return text.replaceAll(PLACEHOLDER, (_all, inner: string) => {
    const value = evaluate(inner, parameters);
    if (typeof value === "number" && !Number.isInteger(value)) {
      throw new RangeError(`{${inner}} is ${value}, and a whole number is needed within a text`);
    }
    return String(value);
  });
}

/** A name alone, or whole and decimal numbers and names with `+ - * / ( )`. */
function evaluate(text: string, parameters: ReadonlyMap<string, Scalar>): Scalar {
  const alone = parameters.get(text.trim());
  if (alone !== undefined) return alone;
  const reader = new Reader(text, parameters);
  const value = reader.sum();
  reader.expectEnd();
  if (!Number.isFinite(value)) throw new RangeError(`{${text}} is not a number`);
  // 4 * 0.1 is meant to be 0.4.
  return Number(value.toPrecision(15));
}

class Reader {
  readonly #text: string;
  readonly #parameters: ReadonlyMap<string, Scalar>;
  readonly #tokens: string[];
  #at = 0;

  constructor(text: string, parameters: ReadonlyMap<string, Scalar>) {
    this.#text = text;
    this.#parameters = parameters;
    this.#tokens = tokensOf(text);
  }

  sum(): number {
    let value = this.#product();
    for (let sign = this.#take("+", "-"); sign; sign = this.#take("+", "-")) {
      const next = this.#product();
      value = sign === "+" ? value + next : value - next;
    }
    return value;
  }

  expectEnd(): void {
    const rest = this.#tokens[this.#at];
    if (rest !== undefined) throw this.#fault(`"${rest}" does not belong here`);
  }

  #product(): number {
    let value = this.#factor();
    for (let sign = this.#take("*", "/"); sign; sign = this.#take("*", "/")) {
      const next = this.#factor();
      value = sign === "*" ? value * next : value / next;
    }
    return value;
  }

  #factor(): number {
    if (this.#take("-")) return -this.#factor();
    if (this.#take("(")) {
      const value = this.sum();
      if (!this.#take(")")) throw this.#fault('a ")" is missing');
      return value;
    }
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw this.#fault("a name or a number is missing");
    if (/^\d/.test(token)) return Number(token);
    const value = this.#parameters.get(token);
    if (value === undefined) throw this.#fault(unknown(token, [...this.#parameters.keys()]));
    if (typeof value !== "number") throw this.#fault(`parameter "${token}" is no number`);
    return value;
  }

  #take(...signs: readonly string[]): string | undefined {
    const token = this.#tokens[this.#at];
    if (token === undefined || !signs.includes(token)) return undefined;
    this.#at += 1;
    return token;
  }

  #fault(message: string): RangeError {
    return new RangeError(`{${this.#text}}: ${message}`);
  }
}

function unknown(name: string, known: readonly string[]): string {
  if (!/^[A-Za-z_]/.test(name)) return `"${name}" does not belong here`;
  return `there is no parameter "${name}"${known.length === 0 ? "" : `; there is ${known.join(", ")}`}`;
}

function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  let end = 0;
  for (let match = TOKEN.exec(text); match; match = TOKEN.exec(text)) {
    tokens.push(match[1] ?? match[2] ?? match[3] ?? "");
    end = TOKEN.lastIndex;
  }
  const rest = text.slice(end).trim();
  return rest === "" ? tokens : [...tokens, rest];
}
