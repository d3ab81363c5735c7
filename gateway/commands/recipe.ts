import type { Recipe, TagValue } from "../core/recipe.ts";
import type { Value } from "../core/sample.ts";
import type { Command, Malformed } from "./command.ts";

/** All that a recipe writes, in its order. */
export function writesOf(recipe: Recipe, given: readonly TagValue[]): readonly TagValue[] {
  const parameters = recipe.parameters.flatMap((tag) => given.filter((one) => one.tag === tag));
  const { ready } = recipe;
  return [...recipe.values, ...parameters, ...(ready ? [{ tag: ready.tag, value: ready.value }] : [])];
}

/** The command with everything that its recipe writes, or what is wrong with what it gives. */
export function resolveRecipe(command: Command, recipe: Recipe): Command | Malformed {
  const { id, device, writes: given } = command;
  const { name, parameters } = recipe;
  const list = parameters.length === 0 ? "nothing" : parameters.join(", ");
  const foreign = given.find(({ tag }) => !parameters.includes(tag));
  if (foreign) return { id, device, reason: `recipe ${name} is not given ${foreign.tag}; it is given ${list}` };
  const missing = parameters.filter((tag) => !given.some((one) => one.tag === tag));
  if (missing.length > 0) return { id, device, reason: `recipe ${name} needs ${missing.join(", ")}` };
  return { ...command, writes: writesOf(recipe, given) };
}

/** Whether a tag holds what is meant: `true` and 1 are the same to a PLC. */
export function holds(held: Value | undefined, meant: Value): boolean {
  if (held === undefined) return false;
  if (isNumeric(held) && isNumeric(meant)) return Number(held) === Number(meant);
  return held === meant;
}

function isNumeric(value: Value): value is number | bigint | boolean {
  return typeof value === "number" || typeof value === "bigint" || typeof value === "boolean";
}
