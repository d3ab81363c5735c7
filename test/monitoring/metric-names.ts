import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../support/processes.ts";

/** Metrics of docs/metrics.md with their labels. */
export function documented(): Map<string, { readonly type: string; readonly labels: ReadonlySet<string> }> {
  const text = readFileSync(join(root, "docs/metrics.md"), "utf8");
  const rows = text.matchAll(/^\| `(\w+)` \| (\w+) \| [^|]* \| ([^|]*) \|/gm);
  return new Map(
    [...rows].map(([, name = "", type = "", labels = ""]) => [
      name,
      { type, labels: new Set([...labels.matchAll(/`(\w+)`/g)].map(([, label = ""]) => label)) },
    ]),
  );
}

/** Labels that Prometheus itself gives, and those of its own series. */
const GIVEN = ["instance", "job"];
const OWN: ReadonlyMap<string, readonly string[]> = new Map([
  ["up", GIVEN],
  ["ALERTS", [...GIVEN, "alertname", "alertstate"]],
]);
/** What may stand before a bracket, or as a word, and is no metric. */
const WORDS = new Set(["and", "or", "on", "by", "vector", "time", "bool", "unless", "Inf"]);

/** What a PromQL expression asks for that no gateway has: metrics, and labels of them. */
export function unknownIn(expr: string, known = documented()): string[] {
  const faults: string[] = [];
  const used = new Set<string>();
  // Texts may hold anything.
  const bare = expr.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""');
  for (const [, name = "", , matchers] of bare.matchAll(/([A-Za-z_]\w*)(\{([^}]*)\})?/g)) {
    const labels = labelsOf(name, known);
    if (labels === undefined) continue;
    for (const label of labels) used.add(label);
    for (const [, label = ""] of (matchers ?? "").matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g))
      if (!labels.has(label)) faults.push(`${name} has no label ${label}`);
  }
  for (const [name] of bare.matchAll(/\b(?:millrace|process|nodejs)_\w+/g))
    if (labelsOf(name, known) === undefined) faults.push(`there is no metric ${name}`);
  for (const [, list = ""] of bare.matchAll(/\b(?:by|on)\s*\(([^)]*)\)/g))
    for (const label of list.split(",").map((one) => one.trim()))
      if (!used.has(label)) faults.push(`no metric of it has the label ${label}`);
  if (used.size === 0) faults.push("it asks for no metric at all");
  return faults;
}

function labelsOf(name: string, known: ReturnType<typeof documented>): Set<string> | undefined {
  if (WORDS.has(name)) return undefined;
  const own = OWN.get(name);
  if (own) return new Set(own);
  const exact = known.get(name);
  // A histogram has no row of its own name.
  if (exact && exact.type !== "histogram") return new Set([...GIVEN, ...exact.labels]);
  const [, base = "", part] = /^(\w+)_(bucket|sum|count)$/.exec(name) ?? [];
  const histogram = known.get(base);
  if (histogram?.type !== "histogram") return undefined;
  return new Set([...GIVEN, ...histogram.labels, ...(part === "bucket" ? ["le"] : [])]);
}
