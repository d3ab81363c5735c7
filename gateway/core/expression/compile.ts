import { isSafe, narrowed } from "../decimal.ts";
import type { Value } from "../sample.ts";
import { callFunction, EvaluationError, finite, type Numeric, tidy } from "./functions.ts";
import { type BinaryOp, type Node, namesIn } from "./parse.ts";

export { EvaluationError } from "./functions.ts";

type Plain = Exclude<Value, Uint8Array>;
/** `inputs` in the order of `names`. */
type Run = (inputs: readonly Value[]) => Plain;

export interface Compiled {
  /** The tags it needs; `run` wants their values in this order. */
  readonly names: readonly string[];
  /** @throws EvaluationError saying why there is no value. */
  run(inputs: readonly Value[]): Plain;
}

/**
 * An expression made ready to run many times. Whole numbers stay exact up to 64 bits; others are doubles, with the result
 * rounded to 15 digits.
 */
export function compile(node: Node): Compiled {
  const names = [...namesIn(node).keys()];
  const run = build(node, new Map(names.map((name, index) => [name, index])));
  return { names, run: (inputs) => presentable(run(inputs)) };
}

/** The type of its result, as far as the expression itself tells. */
export function resultType(node: Node): "bool" | "string" | "float64" {
  switch (node.kind) {
    case "value":
      return typeof node.value === "boolean" ? "bool" : typeof node.value === "string" ? "string" : "float64";
    case "unary":
      return node.op === "!" ? "bool" : "float64";
    case "binary":
      return /^[-+*/%]$/.test(node.op) ? "float64" : "bool";
    case "call":
      return node.name === "bit" ? "bool" : "float64";
    case "choice":
      return resultType(node.yes);
    case "name":
      return "float64";
  }
}

function build(node: Node, places: ReadonlyMap<string, number>): Run {
  switch (node.kind) {
    case "value": {
      const { value } = node;
      return () => value;
    }
    case "name": {
      const place = places.get(node.name) ?? 0;
      return (inputs) => plain(inputs[place]);
    }
    case "call": {
      const { name } = node;
      const args = node.args.map((arg) => build(arg, places));
      return (inputs) =>
        callFunction(
          name,
          args.map((arg) => numeric(arg(inputs))),
        );
    }
    case "unary": {
      const operand = build(node.operand, places);
      return node.op === "-" ? (inputs) => -numeric(operand(inputs)) : (inputs) => !truth(operand(inputs));
    }
    case "choice": {
      const [test, yes, no] = [build(node.test, places), build(node.yes, places), build(node.no, places)];
      return (inputs) => (truth(test(inputs)) ? yes(inputs) : no(inputs));
    }
    case "binary":
      return binary(node.op, build(node.left, places), build(node.right, places));
  }
}

function binary(op: BinaryOp, left: Run, right: Run): Run {
  if (op === "&&") return (inputs) => truth(left(inputs)) && truth(right(inputs));
  if (op === "||") return (inputs) => truth(left(inputs)) || truth(right(inputs));
  const compare = COMPARE.get(op);
  if (compare) return (inputs) => compare(order(left(inputs), right(inputs)));
  const calculate = CALCULATE.get(op) ?? plus;
  return (inputs) => calculate(numeric(left(inputs)), numeric(right(inputs)));
}

const COMPARE: ReadonlyMap<string, (order: number) => boolean> = new Map([
  ["==", (order) => order === 0],
  ["!=", (order) => order !== 0],
  ["<", (order) => order < 0],
  ["<=", (order) => order <= 0],
  [">", (order) => order > 0],
  [">=", (order) => order >= 0],
]);

const CALCULATE: ReadonlyMap<string, (a: Numeric, b: Numeric) => Numeric> = new Map([
  ["+", plus],
  [
    "-",
    (a, b) =>
      exactly(
        a,
        b,
        (x, y) => x - y,
        (x, y) => x - y,
      ),
  ],
  [
    "*",
    (a, b) =>
      exactly(
        a,
        b,
        (x, y) => x * y,
        (x, y) => x * y,
      ),
  ],
  ["/", divided],
  ["%", remainder],
]);

function plus(a: Numeric, b: Numeric): Numeric {
  return exactly(
    a,
    b,
    (x, y) => x + y,
    (x, y) => x + y,
  );
}

/** In doubles where they are exact or must do, else in whole numbers of any size. */
function exactly(
  a: Numeric,
  b: Numeric,
  quick: (a: number, b: number) => number,
  exact: (a: bigint, b: bigint) => bigint,
): Numeric {
  if (typeof a === "number" && typeof b === "number") {
    const result = quick(a, b);
    if (Number.isSafeInteger(result) || !Number.isSafeInteger(a) || !Number.isSafeInteger(b)) return result;
  }
  if (!isWhole(a) || !isWhole(b)) return quick(Number(a), Number(b));
  const result = exact(BigInt(a), BigInt(b));
  // Beyond 64 bits nothing takes it as a whole number any more.
  return result === BigInt.asIntN(64, result) || result === BigInt.asUintN(64, result)
    ? narrowed(result)
    : Number(result);
}

function divided(a: Numeric, b: Numeric): Numeric {
  if (Number(b) === 0) throw new EvaluationError("division by zero");
  if ((typeof a === "bigint" || typeof b === "bigint") && isWhole(a) && isWhole(b) && BigInt(a) % BigInt(b) === 0n) {
    return narrowed(BigInt(a) / BigInt(b));
  }
  return Number(a) / Number(b);
}

function remainder(a: Numeric, b: Numeric): Numeric {
  if (Number(b) === 0) throw new EvaluationError("division by zero");
  if (typeof a === "number" && typeof b === "number") return a % b;
  return isWhole(a) && isWhole(b) ? narrowed(BigInt(a) % BigInt(b)) : Number(a) % Number(b);
}

function isWhole(value: Numeric): boolean {
  return typeof value === "bigint" || Number.isInteger(value);
}

/** Below 0, 0 or above 0, as `a` is less than, equal to or more than `b`. */
function order(a: Plain, b: Plain): number {
  if (isNumeric(a) && isNumeric(b)) {
    // 0.1 + 0.2 is 0.3 for whoever writes it.
    const [x, y] = [typeof a === "number" ? tidy(a) : a, typeof b === "number" ? tidy(b) : b];
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (typeof a !== typeof b) throw new EvaluationError(`${kindOf(a)} is compared with ${kindOf(b)}`);
  return a < b ? -1 : a > b ? 1 : 0;
}

function isNumeric(value: Plain): value is Numeric {
  return typeof value === "number" || typeof value === "bigint";
}

function numeric(value: Plain): Numeric {
  if (isNumeric(value)) return value;
  throw new EvaluationError(`a number is needed, not ${kindOf(value)}`);
}

function truth(value: Plain): boolean {
  if (typeof value === "boolean") return value;
  throw new EvaluationError(`true or false is needed, not ${kindOf(value)}`);
}

function kindOf(value: Plain): string {
  if (typeof value === "boolean") return "true or false";
  return typeof value === "string" ? "text" : "a number";
}

function plain(value: Value | undefined): Plain {
  if (value === undefined || value instanceof Uint8Array) throw new EvaluationError("bytes cannot be calculated with");
  return value;
}

function presentable(value: Plain): Plain {
  if (typeof value === "bigint") return isSafe(value) ? Number(value) : value;
  if (typeof value !== "number") return value;
  const tidied = tidy(finite(value, "not a number"));
  return Object.is(tidied, -0) ? 0 : tidied;
}
