/**
 * What every part logs through. pino satisfies it. Whoever handles an error logs it, once. Messages are lower case
 * and carry no variables: those are fields. Secrets and payloads never go in; values only at `debug`.
 */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(bindings: Record<string, unknown>): Logger;
}

export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
