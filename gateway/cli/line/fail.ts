import { ConfigFaults } from "../../config/faults.ts";
import { UncertainWriteError } from "../../core/driver.ts";
import { ConfigError, messageOf, NotConnectedError, RejectedError } from "../../core/errors.ts";
import { type CliIo, EXIT } from "../io.ts";

/** The message and the exit code for what a line or its gateway refuses. @throws what is a bug. */
export function failed(command: string, error: unknown, io: CliIo): number {
  const code = codeOf(error, io);
  if (code === undefined) throw error;
  if (io.signal.aborted && !(error instanceof UncertainWriteError)) io.err(`millrace ${command}: stopped\n`);
  else io.err(`${error instanceof ConfigFaults ? "" : `millrace ${command}: `}${messageOf(error)}\n`);
  return code;
}

function codeOf(error: unknown, io: CliIo): number | undefined {
  if (error instanceof UncertainWriteError) return EXIT.ioError;
  if (io.signal.aborted) return EXIT.no;
  if (error instanceof ConfigFaults) return error.noInput ? EXIT.noInput : EXIT.config;
  if (error instanceof ConfigError) return EXIT.config;
  if (error instanceof RejectedError) return EXIT.no;
  return error instanceof NotConnectedError ? EXIT.unavailable : undefined;
}
