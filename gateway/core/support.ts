/** A support bundle, as a file. */
export interface SupportFile {
  /** `millrace-support-….tar.gz`. */
  readonly name: string;
  readonly bytes: Uint8Array;
}
