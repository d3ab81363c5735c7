import { ConfigError, NotConnectedError } from "../../core/errors.ts";
import type { Verdict } from "../../core/uplink.ts";

/** An error as AMQP 1.0 names it (part 2, 2.8.14), or as the library does. */
export interface Condition {
  readonly condition?: string | undefined;
  readonly description?: string | undefined;
  readonly message?: string | undefined;
}

const CURES: readonly (readonly [RegExp, string])[] = [
  [/not-found|does not exist/i, "make the address, or correct it"],
  [/authenticat|sasl/i, "check username and password"],
  [/unauthorized|not authorized|security/i, "check username and password, and that this user may write there"],
  [/certificate|self.signed|altname/i, "check tls.ca and tls.servername"],
  [/invalid-field|not-allowed|not-implemented/i, "correct address or kind"],
];

/**
 * Classic allows one connection for a container id, and after a power cut it still has the one before until it misses its
 * heartbeat: that passes by itself, and must not wait for a person.
 */
const STILL_THERE = /already connected/i;

/** What ended a connection or kept it from being made: a fault of the setup waits for a person, any other for the broker. */
export function faultOf(error: Condition, about: string): ConfigError | NotConnectedError {
  const text = textOf(error);
  if (STILL_THERE.test(text))
    return new NotConnectedError(
      `${about}: ${text}; it is the connection before a restart, or another gateway with the same id and uplink name`,
    );
  const cure = CURES.find(([pattern]) => pattern.test(text))?.[1];
  const message = `${about}: ${text}`;
  return cure === undefined ? new NotConnectedError(message) : new ConfigError(`${message}; ${cure}`);
}

/** What to make of a message that the broker did not take. */
export function refusal(error: Condition): Verdict {
  const reason = textOf(error);
  if (/resource-limit-exceeded|is full|full\b|ResourceAllocation|no space/i.test(reason))
    return { kind: "retry", reason: `the broker has no room: ${reason}`, alarm: true };
  if (/unauthorized|not authorized|security/i.test(reason))
    return { kind: "retry", reason: `${reason}; let this user write there`, alarm: true };
  return { kind: "reject", reason };
}

export function textOf({ condition, description, message }: Condition): string {
  const text = description ?? message ?? "";
  if (condition === undefined) return text === "" ? "no reason given" : text;
  return text === "" ? condition : `${condition}: ${text}`;
}
