import type { ConfigDiff } from "../http/api/schemas.ts";

type Line = ConfigDiff["lines"][number];
/** Steps of a comparison; beyond them what differs is shown as taken out and put in. */
const MOST = 4_000_000;

/** What makes one text of another, line by line: all lines, with the fewest changes. */
export function lineDiff(before: string, after: string): ConfigDiff {
  const a = before.split("\n");
  const b = after.split("\n");
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const lines: Line[] = [];
  const same = (i: number, j: number) => lines.push({ kind: "same", text: a[i] ?? "", before: i + 1, after: j + 1 });
  for (let i = 0; i < head; i++) same(i, i);
  const [endA, endB] = [a.length - tail, b.length - tail];
  const table = lengths(a.slice(head, endA), b.slice(head, endB));
  let [i, j] = [head, head];
  const at = (row: number, column: number) => table?.[row - head]?.[column - head] ?? 0;
  while (i < endA || j < endB) {
    if (table && i < endA && j < endB && a[i] === b[j]) same(i++, j++);
    else if (i < endA && (j >= endB || !table || at(i + 1, j) >= at(i, j + 1))) {
      lines.push({ kind: "removed", text: a[i] ?? "", before: ++i });
    } else lines.push({ kind: "added", text: b[j] ?? "", after: ++j });
  }
  for (let k = 0; k < tail; k++) same(endA + k, endB + k);
  const count = (kind: Line["kind"]) => lines.filter((line) => line.kind === kind).length;
  return { added: count("added"), removed: count("removed"), lines };
}

/** Lines in common from each pair of places on; undefined where that would take too long. */
function lengths(a: readonly string[], b: readonly string[]): Uint32Array[] | undefined {
  if (a.length * b.length > MOST) return undefined;
  const rows = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    const [row, next] = [rows[i], rows[i + 1]];
    if (!row || !next) continue;
    for (let j = b.length - 1; j >= 0; j--) {
      row[j] = a[i] === b[j] ? (next[j + 1] ?? 0) + 1 : Math.max(next[j] ?? 0, row[j + 1] ?? 0);
    }
  }
  return rows;
}
