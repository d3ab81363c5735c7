import { isRecord } from "../explain.ts";
import type { Path } from "../faults.ts";
import { hint } from "../suggest.ts";
import { fillIn, type Scalar } from "./placeholders.ts";
import type { NAMED_LISTS, Parameter, Profile } from "./profile-file.ts";

/** One entry of a list of tags, and which tag of the profile it is. */
export interface Entry {
  readonly value: unknown;
  readonly path: Path;
}

/** A profile with its parameters filled in. */
export interface Layer {
  readonly profile: Profile;
  readonly keys: Readonly<Record<string, unknown>>;
  readonly lists: Readonly<Record<(typeof NAMED_LISTS)[number], readonly Entry[]>>;
}

/** What is told of faults in a profile, at a path in it, or of one in the device's parameters (`path` undefined). */
export type Report = (path: Path | undefined, message: string, parameter?: string) => void;

/** Repetitions of one tag; more are a slip of the pen. */
const MAX_REPEATS = 1000;

/** Fills in what the device gives for parameters, and the defaults of the others. Faults are told to `report`. */
export function layerOf(profile: Profile, given: Readonly<Record<string, Scalar>>, report: Report): Layer | undefined {
  const parameters = new Map<string, Scalar>();
  let complete = true;
  for (const [name, parameter] of profile.parameters) {
    const value = settingOf(name, parameter, given, parameters, report);
    if (value === undefined) complete = false;
    else parameters.set(name, value);
  }
  if (!complete) return undefined;
  const keys = Object.entries(profile.keys).map(([key, value]) => [key, filled(value, [key], parameters, report)]);
  const entries = (list: (typeof NAMED_LISTS)[number]): Entry[] =>
    profile.lists[list].flatMap((value, index) => repeated(value, [list, index], parameters, report));
  return { profile, keys: Object.fromEntries(keys), lists: { tags: entries("tags"), derived: entries("derived") } };
}

function settingOf(
  name: string,
  parameter: Parameter,
  given: Readonly<Record<string, Scalar>>,
  before: ReadonlyMap<string, Scalar>,
  report: Report,
): Scalar | undefined {
  const own = Object.hasOwn(given, name) ? given[name] : undefined;
  const standard = parameter.default;
  if (own === undefined) {
    if (standard !== undefined) return scalarOf(standard, ["parameters", name, "default"], before, report);
    const about = parameter.description === undefined ? "" : `: ${parameter.description}`;
    report(undefined, `missing parameter "${name}"${about}`);
    return undefined;
  }
  const fault = parameterFault(own, parameter);
  if (fault === undefined) return own;
  report(undefined, fault, name);
  return undefined;
}

function parameterFault(value: Scalar, { default: standard, min, max, oneOf }: Parameter): string | undefined {
  const wantsNumber = typeof standard === "number" || (typeof standard === "string" && /^\{.*\}$/.test(standard));
  if ((wantsNumber || min !== undefined || max !== undefined) && typeof value !== "number") return "must be a number";
  if (min !== undefined && Number(value) < min) return `must be at least ${min}`;
  if (max !== undefined && Number(value) > max) return `must be at most ${max}`;
  if (oneOf !== undefined && !oneOf.includes(value)) return `must be one of ${oneOf.join(", ")}`;
  return undefined;
}

/** A tag with `repeat` stands for several, with `{n}` from 1 to its count. */
function repeated(value: unknown, path: Path, parameters: ReadonlyMap<string, Scalar>, report: Report): Entry[] {
  if (!isRecord(value) || !("repeat" in value)) return [{ value: filled(value, path, parameters, report), path }];
  const { repeat, ...tag } = value;
  const count = filled(repeat, [...path, "repeat"], parameters, report);
  if (typeof count !== "number" || !Number.isInteger(count) || count < 0 || count > MAX_REPEATS) {
    report([...path, "repeat"], `must be a whole number from 0 to ${MAX_REPEATS}, or a parameter such as "{modules}"`);
    return [];
  }
  return Array.from({ length: count }, (_, index) => {
    const own = new Map([...parameters, ["n", index + 1] as const]);
    return { value: filled(tag, path, own, report), path };
  });
}

function filled(value: unknown, path: Path, parameters: ReadonlyMap<string, Scalar>, report: Report): unknown {
  if (typeof value === "string") return scalarOf(value, path, parameters, report);
  if (Array.isArray(value)) return value.map((item, index) => filled(item, [...path, index], parameters, report));
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, filled(item, [...path, key], parameters, report)]),
  );
}

function scalarOf(value: Scalar, path: Path, parameters: ReadonlyMap<string, Scalar>, report: Report): Scalar {
  if (typeof value !== "string" || !value.includes("{")) return value;
  try {
    return fillIn(value, parameters);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    report(path, error.message);
    return value;
  }
}

/** Parameters that none of the profiles has. */
export function unknownParameters(
  given: Readonly<Record<string, Scalar>>,
  profiles: readonly Profile[],
): { readonly name: string; readonly message: string }[] {
  const known = [...new Set(profiles.flatMap(({ parameters }) => [...parameters.keys()]))];
  const none = known.length === 0 ? "; it has none" : "";
  return Object.keys(given)
    .filter((name) => !known.includes(name))
    .map((name) => ({ name, message: `the profile has no parameter "${name}"${hint(name, known)}${none}` }));
}
