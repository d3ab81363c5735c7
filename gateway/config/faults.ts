import { ConfigError } from "../core/errors.ts";

/** Where something stands in the configuration: keys and indices from the root. */
export type Path = readonly (string | number)[];

/** One-based line and column of the file, as editors count. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** One fault or warning at its place, ready to be shown or sent as JSON. */
export interface Located extends Position {
  /** The file as it was named by whoever asked. */
  readonly file: string;
  /** `links[0].devices[0].tags[1].order`; empty for the whole file. */
  readonly path: string;
  readonly message: string;
  /** Devices on whose behalf another file than the configuration, a profile, is read. */
  readonly usedBy?: readonly string[];
}

/** Most faults that one message names. */
const SHOWN = 20;

/**
 * The configuration is wrong. The message has one line per fault, in order of position; `faults` has them all.
 * `noInput` is true when there was no file to read.
 */
export class ConfigFaults extends ConfigError {
  readonly faults: readonly Located[];
  readonly noInput: boolean;

  constructor(faults: readonly Located[], noInput = false) {
    super(listFaults(faults));
    this.faults = faults;
    this.noInput = noInput;
  }
}

/** `links[0].devices[0].tags[1].order` */
export function pathText(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += text === "" ? step : `.${step}`;
  }
  return text;
}

/** `millrace.yaml:12:9: links[0].name: what and cure` */
export function formatLocated(item: Located): string {
  const path = item.path === "" ? "" : `${item.path}: `;
  return `${item.file}:${item.line}:${item.column}: ${path}${item.message}${users(item.usedBy ?? [])}`;
}

/** ` (in device meter-1 and 3 more)` */
function users([first, ...more]: readonly string[]): string {
  if (first === undefined) return "";
  return ` (in device ${first}${more.length === 0 ? "" : ` and ${more.length} more`})`;
}

function listFaults(faults: readonly Located[]): string {
  const lines = faults.slice(0, SHOWN).map(formatLocated);
  if (faults.length > SHOWN) lines.push(`and ${faults.length - SHOWN} more`);
  return lines.join("\n");
}

/** A position, and how it is shown where it is not in the configuration, or under another path in it. */
export interface Place extends Position {
  readonly file?: string;
  readonly path?: Path;
  readonly usedBy?: string;
}

/**
 * Finds the position of a key or a value, or of the first character of a text, behind its quote; falls back to the nearest
 * thing around it that exists.
 */
export type Locate = (path: Path, part?: "key" | "value" | "text") => Place;

/** `key` is its path in the configuration after profiles were put in. */
interface Kept {
  readonly key: string;
  readonly located: Located;
}

/** Gathers faults and warnings while a configuration is read. */
export class Faults {
  readonly #file: string;
  readonly #locate: Locate;
  readonly #faults: Kept[] = [];
  readonly #warnings: Kept[] = [];
  readonly #misspelt = new Set<string>();

  constructor(file: string, locate: Locate) {
    this.#file = file;
    this.#locate = locate;
  }

  /** A fault of the value at `path`. */
  add(path: Path, message: string): void {
    this.#faults.push(this.#at(path, message, this.#locate(path)));
  }

  /** A fault within the text at `path`, at the character with index `at`. */
  addInside(path: Path, at: number, message: string): void {
    const place = this.#locate(path, "text");
    this.#faults.push(this.#at(path, message, { ...place, column: place.column + at }));
  }

  /** A fault of a key of the mapping at `path`: shown as a fault of the mapping, placed at the key. */
  addKey(path: Path, key: string, message: string): void {
    const meant = /; did you mean "([^"]+)"\?$/.exec(message)?.[1];
    if (meant !== undefined) this.#misspelt.add(pathText([...path, meant]));
    this.#faults.push(this.#at(path, message, this.#locate([...path, key], "key")));
  }

  /** A missing key; said only where it is not there under a misspelt name that `addKey` told of. */
  addMissing(path: Path, key: string, message: string): void {
    if (!this.#misspelt.has(pathText([...path, key]))) this.add(path, message);
  }

  /** Gathers in the same file, apart, until `join`. */
  fork(): Faults {
    return new Faults(this.#file, this.#locate);
  }

  join(other: Faults): void {
    this.#faults.push(...other.#faults);
    this.#warnings.push(...other.#warnings);
  }

  /** A key that is missing for a reason already told of. */
  excuse(path: Path, key: string): void {
    this.#misspelt.add(pathText([...path, key]));
  }

  /** A fault in another file, on behalf of what stands at `path`. */
  addElsewhere(path: Path, located: Located): void {
    this.#faults.push({ key: pathText(path), located });
  }

  /** How many there are by now. */
  get count(): number {
    return this.#faults.length;
  }

  warn(path: Path, message: string): void {
    this.#warnings.push(this.#at(path, message, this.#locate(path)));
  }

  /** Whether there is a fault at `path` or below it. */
  has(path: Path): boolean {
    const prefix = pathText(path);
    return this.#faults.some(({ key }) => key.startsWith(prefix) && /^($|[.[])/.test(key.slice(prefix.length)));
  }

  position(path: Path): Position {
    return this.#locate(path);
  }

  warnings(): readonly Located[] {
    return sorted(this.#warnings, this.#file);
  }

  /** @throws ConfigFaults when there is any. */
  throwIfAny(): void {
    if (this.#faults.length > 0) throw new ConfigFaults(sorted(this.#faults, this.#file));
  }

  #at(path: Path, message: string, place: Place): Kept {
    const { file = this.#file, line, column, path: shown = path, usedBy } = place;
    const located = { file, line, column, path: pathText(shown), message };
    return { key: pathText(path), located: usedBy === undefined ? located : { ...located, usedBy: [usedBy] } };
  }
}

/** In order of position, those of the configuration first; what an alias or a profile repeats at one place is named once. */
function sorted(items: readonly Kept[], file: string): Located[] {
  const once = new Map<string, Located>();
  for (const { located } of items) {
    const key = `${located.file}:${located.line}:${located.column}:${located.message}`;
    const known = once.get(key);
    const usedBy = [...new Set([...(known?.usedBy ?? []), ...(located.usedBy ?? [])])];
    once.set(key, { ...(known ?? located), ...(usedBy.length === 0 ? {} : { usedBy }) });
  }
  const order = (item: Located): string => (item.file === file ? "" : item.file);
  return [...once.values()].sort((a, b) => order(a).localeCompare(order(b)) || a.line - b.line || a.column - b.column);
}
