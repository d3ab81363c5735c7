/**
 * What stands in received bytes: a frame of `length` bytes, one with a bad checksum, the beginning of one, none, or
 * something after which the rest makes no sense any more.
 */
export type Piece =
  | { readonly kind: "frame" | "corrupt"; readonly length: number }
  | { readonly kind: "partial" | "none" | "broken" };

/** How unit, function and data (a body) lie on the wire. A frame ends by its own length and checksum, never by silence. */
export interface Framing {
  /** More than the longest frame and an echo before it. */
  readonly maxReceived: number;
  /** Whether wires of this kind may hear themselves, so that the question comes back before the answer. */
  readonly hearsItself: boolean;
  answerAt(bytes: Buffer, at: number): Piece;
  /** Unit, function and byte count, where so much of a frame stands at `at`. */
  headAt(bytes: Buffer, at: number): Buffer | undefined;
  bodyOf(frame: Buffer): Buffer;
  wrap(body: Buffer): Buffer;
}
