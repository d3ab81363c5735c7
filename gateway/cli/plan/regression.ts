/** One observation: the quantity, then its controls, whose true mean is 0. */
export type Row = readonly [number, ...number[]];

/** The mean of the quantity with what the controls explain taken out, and its standard error. */
export function adjusted(rows: readonly Row[]): { readonly mean: number; readonly error: number } {
  const count = rows.length;
  const controls = columnsOf(rows);
  const quantity = rows.map(([value]) => value);
  const mean = average(quantity);
  const weights = solve(
    controls.map((one) => controls.map((other) => dot(one.centred, other.centred))),
    controls.map(({ centred }) =>
      dot(
        centred,
        quantity.map((value) => value - mean),
      ),
    ),
  );
  const better = mean - controls.reduce((sum, control, at) => sum + (weights[at] ?? 0) * control.mean, 0);
  const left = quantity.map((value, row) => {
    const explained = controls.reduce((sum, { centred }, at) => sum + (weights[at] ?? 0) * (centred[row] ?? 0), 0);
    return value - mean - explained;
  });
  const freedom = Math.max(1, count - 1 - controls.length);
  return { mean: better, error: Math.sqrt(dot(left, left) / freedom / count) };
}

interface Column {
  readonly mean: number;
  readonly centred: readonly number[];
}

/** In units of their own spread; those without any say nothing. */
function columnsOf(rows: readonly Row[]): Column[] {
  const [first = [0]] = rows;
  return first.slice(1).flatMap((_, at) => {
    const values = rows.map((row) => row[at + 1] ?? 0);
    const mean = average(values);
    const spread = Math.sqrt(average(values.map((value) => (value - mean) ** 2)));
    if (!(spread > 0)) return [];
    return [{ mean: mean / spread, centred: values.map((value) => (value - mean) / spread) }];
  });
}

/** Gauss with pivots; what depends on the others is left out. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const rows = matrix.map((row, at) => [...row, right[at] ?? 0]);
  const size = rows.length;
  const pivots: (number[] | undefined)[] = [];
  for (let column = 0; column < size; column++) {
    const rest = rows.filter((row) => !pivots.includes(row));
    const best = rest.reduce<number[] | undefined>(
      (found, row) => (Math.abs(row[column] ?? 0) > Math.abs(found?.[column] ?? 0) ? row : found),
      undefined,
    );
    pivots[column] = best !== undefined && Math.abs(best[column] ?? 0) > 1e-9 ? best : undefined;
    const pivot = pivots[column];
    if (pivot === undefined) continue;
    for (const row of rows) {
      if (row === pivot) continue;
      const factor = (row[column] ?? 0) / (pivot[column] ?? 1);
      for (let at = column; at <= size; at++) row[at] = (row[at] ?? 0) - factor * (pivot[at] ?? 0);
    }
  }
  return pivots.map((pivot, column) => (pivot === undefined ? 0 : (pivot[size] ?? 0) / (pivot[column] ?? 1)));
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function dot(one: readonly number[], other: readonly number[]): number {
  return one.reduce((sum, value, at) => sum + value * (other[at] ?? 0), 0);
}
