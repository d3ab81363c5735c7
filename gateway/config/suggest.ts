import { distance } from "fastest-levenshtein";

/** Words people bring along from other programs, and what they are called here. */
const CALLED: Readonly<Record<string, string>> = {
  interval: "every",
  period: "every",
  pollrate: "every",
  register: "address",
  slave: "unit",
  station: "unit",
  protocol: "driver",
  topics: "select",
  hostname: "host",
  server: "url",
  broker: "url",
};

/** The allowed word that was probably meant, if one is close. */
export function closest(word: string, allowed: readonly string[]): string | undefined {
  const wanted = bare(word);
  const called = CALLED[wanted];
  if (called !== undefined && allowed.includes(called)) return called;
  let best: string | undefined;
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of allowed) {
    const name = bare(candidate);
    const cost = isPrefix(name, wanted) || isSwapped(name, wanted) ? 1 : distance(wanted, name);
    if (cost < least) {
      best = candidate;
      least = cost;
    }
  }
  return best;
}

/** `; did you mean "address"?`, or the allowed words when none is close. */
export function hint(word: string, allowed: readonly string[], lead = "allowed here"): string {
  const meant = closest(word, allowed);
  if (meant !== undefined) return `; did you mean "${meant}"?`;
  return allowed.length === 0 ? "" : `; ${lead}: ${allowed.join(", ")}`;
}

/** `a`, `a or b`, `a, b or c` */
export function orList(words: readonly string[]): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

/** Snake, kebab and camel case are one word. */
function bare(word: string): string {
  return word.toLowerCase().replaceAll(/[-_\s]/g, "");
}

function isPrefix(a: string, b: string): boolean {
  return Math.min(a.length, b.length) >= 4 && (a.startsWith(b) || b.startsWith(a));
}

/** Two neighbouring letters changed places: the slip that costs two in Levenshtein's count. */
function isSwapped(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  const at = [...a].findIndex((letter, index) => letter !== b[index]);
  return at >= 0 && a[at] === b[at + 1] && a[at + 1] === b[at] && a.slice(at + 2) === b.slice(at + 2);
}
