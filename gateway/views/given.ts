/** A key that is there only with a value. */
export function given<K extends string, V>(key: K, value: V | undefined): { [Key in K]?: V } {
  const found: { [Key in K]?: V } = {};
  if (value !== undefined) found[key] = value;
  return found;
}
