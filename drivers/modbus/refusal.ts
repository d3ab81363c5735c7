import { TimeoutError } from "../../gateway/core/driver.ts";
import { ExceptionError } from "./client.ts";
import { MalformedAnswerError } from "./ports/port.ts";

/** The words of MODBUS Application Protocol V1.1b3, 7. */
const EXCEPTIONS: Readonly<Record<number, string>> = {
  1: "illegal function",
  2: "illegal data address",
  3: "illegal data value",
  4: "server device failure",
  5: "acknowledge: answer comes later",
  6: "server device busy",
  7: "negative acknowledge",
  8: "memory parity error",
  10: "gateway path unavailable",
  11: "gateway target device failed to respond",
};
const TARGET_SILENT = 11;

/**
 * The reason for `bad`, where the unit itself answered.
 * @throws what it is given in every other case; TimeoutError when a gateway says that the unit behind it is silent, so
 * that this counts as the silence it is.
 */
export function refusal(error: unknown): string {
  if (error instanceof MalformedAnswerError) return "malformed answer";
  if (!(error instanceof ExceptionError)) throw error;
  const reason = EXCEPTIONS[error.exceptionCode] ?? error.message;
  if (error.exceptionCode === TARGET_SILENT) throw new TimeoutError(reason, { cause: error });
  return reason;
}
