/** A mistake in an expression. */
export class ExpressionError extends Error {
  override readonly name = "ExpressionError";
  /** Index of the character it is at, from 0. */
  readonly at: number;
  /** A word that nothing is called, and those that there are. */
  readonly unknown?: { readonly word: string; readonly known: readonly string[] };

  constructor(message: string, at: number, unknown?: ExpressionError["unknown"]) {
    super(message);
    this.at = at;
    if (unknown) this.unknown = unknown;
  }
}
