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
  return `${item.file}:${item.line}:${item.column}: ${path}${item.message}`;
}

function listFaults(faults: readonly Located[]): string {
  const lines = faults.slice(0, SHOWN).map(formatLocated);
  if (faults.length > SHOWN) lines.push(`and ${faults.length - SHOWN} more`);
  return lines.join("\n");
}

/** Finds the position of a key or a value; falls back to the nearest thing around it that exists. */
export type Locate = (path: Path, part?: "key" | "value") => Position;

/** Gathers faults and warnings while a configuration is read. */
export class Faults {
  readonly #file: string;
  readonly #locate: Locate;
  readonly #faults: Located[] = [];
  readonly #warnings: Located[] = [];
  readonly #misspelt = new Set<string>();

  constructor(file: string, locate: Locate) {
    this.#file = file;
    this.#locate = locate;
  }

  /** A fault of the value at `path`. */
  add(path: Path, message: string): void {
    this.#faults.push(this.#at(path, message, this.#locate(path)));
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

  warn(path: Path, message: string): void {
    this.#warnings.push(this.#at(path, message, this.#locate(path)));
  }

  /** Whether there is a fault at `path` or below it. */
  has(path: Path): boolean {
    const prefix = pathText(path);
    return this.#faults.some(
      (fault) => fault.path.startsWith(prefix) && /^($|[.[])/.test(fault.path.slice(prefix.length)),
    );
  }

  position(path: Path): Position {
    return this.#locate(path);
  }

  warnings(): readonly Located[] {
    return sorted(this.#warnings);
  }

  /** @throws ConfigFaults when there is any. */
  throwIfAny(): void {
    if (this.#faults.length > 0) throw new ConfigFaults(sorted(this.#faults));
  }

  #at(path: Path, message: string, position: Position): Located {
    return { file: this.#file, line: position.line, column: position.column, path: pathText(path), message };
  }
}

/** In order of position; what an alias repeats at one place is named once. */
function sorted(items: readonly Located[]): Located[] {
  const seen = new Set<string>();
  const once = items.filter((item) => {
    const key = `${item.line}:${item.column}:${item.message}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
  return once.sort((a, b) => a.line - b.line || a.column - b.column);
}
