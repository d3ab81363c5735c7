/**
 * One error class for each thing the caller does about it. `code` is a literal field, so it cannot drift from its
 * class; messages may change between versions, codes may not. Wrap a foreign error with `{ cause }` at a port. Any
 * other error that reaches a port's caller is a bug: it is logged with its stack and the process exits.
 */

/** The configuration is wrong. The caller stops with exit code 78; trying again cannot help. */
export class ConfigError extends Error {
  readonly code = "MILLRACE_CONFIG";
  override readonly name = "ConfigError";
}

/** There is no connection, or it was lost. The caller connects again, with back-off; nothing was consumed. */
export class NotConnectedError extends Error {
  readonly code = "MILLRACE_NOT_CONNECTED";
  override readonly name = "NotConnectedError";
}

/** The other side said no, and will say no again. The caller never sends the same thing again. */
export class RejectedError extends Error {
  readonly code = "MILLRACE_REJECTED";
  override readonly name = "RejectedError";
}

/** The queue has no room and its policy is `refuse`. The caller pushes back on whoever sent the data. */
export class QueueFullError extends Error {
  readonly code = "MILLRACE_QUEUE_FULL";
  override readonly name = "QueueFullError";
  /** True where a full disk cut the write itself short: it may be stored all the same, later. */
  readonly mayBeStored: boolean;

  constructor(message: string, options: ErrorOptions & { mayBeStored?: boolean } = {}) {
    super(message, options);
    this.mayBeStored = options.mayBeStored ?? false;
  }
}

/** The disk failed. The caller degrades and raises an alarm; the part that owns the disk recovers by itself. */
export class StorageError extends Error {
  readonly code = "MILLRACE_STORAGE";
  override readonly name = "StorageError";
}

export type MillraceError = ConfigError | NotConnectedError | RejectedError | QueueFullError | StorageError;

/** The message of anything that was thrown; some libraries throw plain objects. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  if (typeof error === "object" && error !== null && "message" in error) return String(error.message);
  return String(error);
}
