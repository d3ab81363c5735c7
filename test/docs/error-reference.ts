import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../support/processes.ts";

/** What somebody does about each; a code without a cure, or a cure without a code, fails the test. */
const CURES: Readonly<Record<string, string>> = {
  MILLRACE_CONFIG: "Follow the message: it names file, line and cure. `millrace check` shows all faults at once.",
  MILLRACE_NOT_CONNECTED: "Nothing: it connects again by itself. If it lasts: address, cable, firewall.",
  MILLRACE_TIMEOUT: "Wiring, unit id, baud rate and parity; a longer `timeout` for a slow device.",
  MILLRACE_UNCERTAIN_WRITE: "Look at the device, then write again if need be. It is never sent again by itself.",
  MILLRACE_REJECTED: "The message says why. A record refused upstream is a dead letter: `millrace queue dead-letters`.",
  MILLRACE_QUEUE_FULL:
    "More disk, a larger `queue.maxBytes`, or `queue.eventsPolicy: drop-oldest`. The sender is held back.",
  MILLRACE_STORAGE: "Free space, permissions, the card: `millrace selftest storage`. Nothing acknowledged is lost.",
  MILLRACE_USAGE: "`--help` of the command; of the API, the schema in `/api/v1/openapi.json`.",
  MILLRACE_UNAUTHORIZED: "Log in, or send a token that is still good.",
  MILLRACE_FORBIDDEN: "The role or token lacks the scope the message names, or `X-CSRF-Token` is missing.",
  MILLRACE_LOCKED: "Wait as long as `Retry-After` says; an admin can set the password anew.",
  MILLRACE_NOT_FOUND: "The path or the name in it is wrong.",
  MILLRACE_BUSY: "Ask again after `Retry-After`.",
  MILLRACE_REFUSED: "`millrace verify` was refused by the broker: user, password, rights on the topic.",
  MILLRACE_BUG: "Report it with the log lines around it.",
};

/** docs/errors.md: codes from classes with their contracts, and from the HTTP server with their statuses. */
export function errorReference(note: string): string {
  const told = new Map<string, string>();
  const statuses = new Map<string, Set<string>>();
  for (const text of sources()) {
    for (const [, doc = "", code = ""] of text.matchAll(
      /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s+(?:export )?class \w+ extends \w+ \{\s+readonly code = "(MILLRACE_\w+)"/g,
    ))
      told.set(code, doc.replaceAll(/\s*\*\s*/g, " ").trim());
    for (const [, status = "", code = ""] of text.matchAll(/HttpError\(\s*(\d{3}),\s*"(MILLRACE_\w+)"/g))
      statuses.set(code, (statuses.get(code) ?? new Set()).add(status));
    for (const [code] of text.matchAll(/(?<=")MILLRACE_[A-Z_]+(?=")/g)) if (!told.has(code)) told.set(code, "");
    for (const [code] of text.matchAll(/(?<=`)MILLRACE_[A-Z_]+(?=`)/g)) if (!told.has(code)) told.set(code, "");
  }
  const codes = [...told.keys()].sort();
  const missing = codes.filter((code) => !(code in CURES));
  const idle = Object.keys(CURES).filter((code) => !told.has(code));
  if (missing.length + idle.length > 0)
    throw new Error(`without a cure: ${missing.join(", ")}; not in the code: ${idle.join(", ")}`);
  const rows = codes.map((code) => {
    const http = [...(statuses.get(code) ?? [])].sort().join(", ");
    return `| \`${code}\` | ${http} | ${told.get(code) ?? ""} | ${CURES[code] ?? ""} |`;
  });
  return [
    "# Error codes\n",
    note,
    "Codes do not change between versions; messages may. They stand in log lines (`code`), in answers of the [API](api.md), and decide",
    "the exit code of commands. The reasons of bad tags are in [troubleshooting](troubleshooting.md).\n",
    "| code | HTTP | meaning | what to do |\n| --- | --- | --- | --- |",
    `${rows.join("\n")}\n`,
    "## Exit codes\n",
    "| code | meaning |\n| --- | --- |\n| 0 | done |\n| 1 | the answer is no: `verify`, `selftest`, `audit verify`, a tag that is bad |",
    "| 64 | the command line is wrong |\n| 66 | no such file |\n| 69 | not reachable |\n| 70 | a bug |",
    "| 74 | the disk refuses, or it is not known whether a write was done |\n| 78 | the configuration is wrong, or it cannot be done as things are |\n",
  ].join("\n");
}

function* sources(): Generator<string> {
  for (const folder of ["gateway", "drivers"])
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true, recursive: true }))
      if (entry.isFile() && entry.name.endsWith(".ts")) yield readFileSync(join(entry.parentPath, entry.name), "utf8");
}
