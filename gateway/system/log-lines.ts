/** One line of the log as people look at it. */
export interface LogLine {
  readonly n: number;
  /** Unix milliseconds. */
  readonly time: number;
  readonly level: string;
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

const LEVELS = ["debug", "info", "warn", "error"];
const MOST_LINES = 2_000;
const MOST_BYTES = 2 * 1024 * 1024;
const MOST_LINE = 16 * 1024;
const SECRET_KEY = /pass(word|phrase|wd)?$|secret|token|authorization|cookie|credential|private.?key|^key$/i;
const MASK = "[secret]";
/** Name and password in a URL, tokens of programs, and what goes behind Bearer. */
const SECRET_TEXT: readonly (readonly [RegExp, string])[] = [
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@"]+@/gi, `$1${MASK}@`],
  [/\bmr_[A-Za-z0-9_-]{12}_[A-Za-z0-9_-]{43}/g, MASK],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9+/=._-]{8,}/gi, `$1 ${MASK}`],
];

/** The last lines of the log, in memory: a stream that pino writes to, beside the one that leaves the process. */
export class LogLines {
  #lines: string[] = [];
  /** Number of the first line that is held. */
  #first = 1;
  #bytes = 0;

  write(line: string): void {
    const kept = line.length > MOST_LINE ? "" : line;
    this.#lines.push(kept);
    this.#bytes += kept.length;
    if (this.#lines.length <= MOST_LINES && this.#bytes <= MOST_BYTES) return;
    // A quarter at once: to move them for each line would cost more than the line.
    for (const gone of this.#lines.splice(0, Math.ceil(this.#lines.length / 4))) {
      this.#bytes -= gone.length;
      this.#first++;
    }
  }

  /** The newest lines behind number `after`, at most `limit`, of a level and above, oldest first, without secrets. */
  since({ after, limit, level }: { readonly after: number; readonly limit: number; readonly level: string }): {
    readonly lines: LogLine[];
    readonly lost: number;
  } {
    const least = LEVELS.indexOf(level);
    const found: LogLine[] = [];
    for (let at = this.#lines.length - 1; at >= 0 && found.length < limit; at--) {
      const n = this.#first + at;
      if (n <= after) break;
      const line = read(n, this.#lines[at] ?? "");
      if (LEVELS.indexOf(line.level) >= least) found.push(line);
    }
    return { lines: found.reverse(), lost: after === 0 ? 0 : Math.max(0, this.#first - 1 - after) };
  }
}

function read(n: number, text: string): LogLine {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { n, time: 0, level: "info", message: "a line that is too long to be shown", fields: {} };
  }
  const { time, level, msg, ...fields } = Object(parsed);
  return {
    n,
    time: Number(time),
    level: String(level),
    message: masked(String(msg)),
    fields: Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, withoutSecrets(value, key)])),
  };
}

/** A value of the log or the like without what must not be seen. */
export function withoutSecrets(value: unknown, key: string): unknown {
  if (SECRET_KEY.test(key) && value !== null && value !== "" && typeof value !== "boolean") return MASK;
  if (typeof value === "string") return masked(value);
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(item, ""));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withoutSecrets(item, name)]));
}

/** A text without what looks like a secret. */
export function masked(text: string): string {
  return SECRET_TEXT.reduce((left, [pattern, by]) => left.replaceAll(pattern, by), text);
}
