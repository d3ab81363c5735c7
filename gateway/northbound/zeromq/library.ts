import { createRequire } from "node:module";
import { ConfigError, messageOf } from "../../core/errors.ts";

/** An optional dependency: npm goes on where it cannot be installed. */
const NAME = "zeromq";
const CURE = `install it beside Millrace: npm install ${NAME}@6; it has no build for 32-bit ARM`;

/** @throws ConfigError that says what to install. */
export async function loadZeroMq(load = () => import("zeromq")) {
  try {
    return await load();
  } catch (error) {
    throw new ConfigError(`ZeroMQ needs the package ${NAME}, which cannot be loaded (${firstLine(error)}); ${CURE}`, {
      cause: error,
    });
  }
}

/** Why it cannot be there; undefined when it seems to be. */
export function absence(find = () => createRequire(import.meta.url).resolve(NAME)): string | undefined {
  try {
    find();
    return undefined;
  } catch {
    return `the package ${NAME} is not installed; ${CURE}`;
  }
}

function firstLine(error: unknown): string {
  return messageOf(error).split("\n")[0] ?? "";
}
