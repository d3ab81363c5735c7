import type { Tag } from "../core/driver.ts";
import type { RecipeOptions } from "../core/options/recipes.ts";
import type { Recipe } from "../core/recipe.ts";
import type { Value } from "../core/sample.ts";
import type { Faults, Path } from "./faults.ts";
import { uniqueNames } from "./sections.ts";
import { hint } from "./suggest.ts";
import type { LoadedLink } from "./types.ts";

type Option = RecipeOptions[number];

/** Checks recipes against the devices they are for. What has a fault is left out of the result. */
export function readRecipes(options: RecipeOptions, links: readonly LoadedLink[], faults: Faults): Recipe[] {
  uniqueNames(
    options.map(({ name }, index) => ({ name, path: ["recipes", index, "name"] })),
    "among recipes",
    faults,
  );
  return options.flatMap((option, index) => readRecipe(option, links, ["recipes", index], faults) ?? []);
}

function readRecipe(option: Option, links: readonly LoadedLink[], path: Path, faults: Faults): Recipe | undefined {
  const link = links.find(({ devices }) => devices.some(({ name }) => name === option.device));
  const device = link?.devices.find(({ name }) => name === option.device);
  if (!link || !device) {
    const names = links.flatMap(({ devices }) => devices.map(({ name }) => name));
    faults.add([...path, "device"], `there is no device "${option.device}"${hint(option.device, names)}`);
    return undefined;
  }
  const look = new Look(link, device.tags, path, faults);
  checkValues(option, look, path, faults);
  checkHandshake(option, look, path, faults);
  const { name, trigger, values, parameters, ready, done, within } = option;
  return {
    name,
    device: device.name,
    values: Object.entries(values).map(([tag, value]) => ({ tag, value })),
    parameters,
    withinMs: within,
    ...(trigger && { trigger: { tag: trigger.tag, value: trigger.equals, atStart: trigger.atStart } }),
    ...(ready && { ready }),
    ...(done && { done }),
  };
}

function checkValues({ values, parameters, trigger }: Option, look: Look, path: Path, faults: Faults): void {
  const fixed = Object.entries(values);
  for (const [tag, value] of fixed) look.written(["values", tag], tag, value);
  for (const [index, tag] of parameters.entries()) {
    const at = [...path, "parameters", index];
    look.written(["parameters", index], tag);
    if (Object.hasOwn(values, tag))
      faults.add(at, `"${tag}" has a value in "values" already; name it in one of the two`);
    if (parameters.indexOf(tag) !== index) faults.add(at, `"${tag}" is named twice`);
  }
  if (fixed.length + parameters.length === 0) faults.add(path, 'writes nothing: give "values", "parameters" or both');
  if (!trigger) return;
  look.read(["trigger", "tag"], trigger.tag);
  if (parameters.length > 0)
    faults.add([...path, "parameters"], 'a trigger gives no values: use "values", or leave "trigger" out');
}

function checkHandshake({ values, parameters, ready, done }: Option, look: Look, path: Path, faults: Faults): void {
  if (ready) {
    look.written(["ready", "tag"], ready.tag, ready.value);
    if (ready.reset !== undefined) look.written(["ready", "reset"], ready.tag, ready.reset);
    if (Object.hasOwn(values, ready.tag) || parameters.includes(ready.tag))
      faults.add([...path, "ready", "tag"], `"${ready.tag}" is one of the values; it must be a tag of its own`);
  }
  if (ready?.reset !== undefined && !done)
    faults.add([...path, "ready", "reset"], 'needs "done": without it nobody knows when the PLC has seen "ready"');
  if (!done) return;
  look.read(["done", "tag"], done.tag);
  if (!ready) faults.add([...path, "done"], 'needs "ready" beside it: the PLC must be told that the values are there');
  if (done.tag === ready?.tag)
    faults.add([...path, "done", "tag"], 'is the tag of "ready"; the PLC answers with another');
}

/** Looks tags of one device up. */
class Look {
  readonly #link: LoadedLink;
  readonly #tags: readonly Tag[];
  readonly #path: Path;
  readonly #faults: Faults;

  constructor(link: LoadedLink, tags: readonly Tag[], path: Path, faults: Faults) {
    this.#link = link;
    this.#tags = tags;
    this.#path = path;
    this.#faults = faults;
  }

  read(inside: Path, name: string): Tag | undefined {
    const tag = this.#tags.find((one) => one.name === name);
    if (tag) return tag;
    const names = this.#tags.map((one) => one.name);
    this.#faults.add([...this.#path, ...inside], `the device has no tag "${name}"${hint(name, names)}`);
    return undefined;
  }

  written(inside: Path, name: string, value?: Value): void {
    const tag = this.read(inside, name);
    if (!tag) return;
    const limits = this.#link.driver.writable?.(tag.options);
    const path = [...this.#path, ...inside];
    if (!limits) {
      this.#faults.add(
        path,
        `tag "${name}" is not writable; give it "writable", for example writable: { min: 0, max: 100 }`,
      );
      return;
    }
    const { min, max } = limits;
    if (value === undefined || (min === undefined && max === undefined)) return;
    if (typeof value !== "number") this.#faults.add(path, `"${name}" takes a number, not ${JSON.stringify(value)}`);
    else if (min !== undefined && value < min)
      this.#faults.add(path, `${value} is below the least of "${name}", ${min}`);
    else if (max !== undefined && value > max)
      this.#faults.add(path, `${value} is above the greatest of "${name}", ${max}`);
  }
}
