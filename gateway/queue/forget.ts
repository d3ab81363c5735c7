import { ConfigError } from "../core/errors.ts";

export function noSuchUplink(name: string, known: readonly string[]): ConfigError {
  const there = known.length === 0 ? "the queue knows none" : `the queue knows ${known.join(", ")}`;
  return new ConfigError(`there is no uplink "${name}": ${there}`);
}

/** Forgetting an uplink that the configuration has loses data that is still wanted. */
export function configuredStays(name: string): ConfigError {
  return new ConfigError(
    `the uplink "${name}" is in the configuration: it would lose what it is still owed. Take it out of the configuration ` +
      "and restart, then forget it; or say --yes: then it stays, its backlog is dropped, and it is told so as a gap",
  );
}
