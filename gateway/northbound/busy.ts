import { NotConnectedError } from "../core/errors.ts";

/** The far side is there but asks to be left alone (busy, quota, rate): connect again, but not before `afterMs`. */
export class ServerBusyError extends NotConnectedError {
  /** Least pause before the next attempt, in milliseconds. */
  readonly afterMs: number;

  constructor(message: string, afterMs: number, options?: ErrorOptions) {
    super(message, options);
    this.afterMs = afterMs;
  }
}
