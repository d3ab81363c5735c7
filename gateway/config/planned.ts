import type { Path } from "./faults.ts";

/**
 * What the design promises and this version does not have yet. It is refused by name, so that nobody believes it works.
 * Paths are written with `[]` for any index. Driver and uplink modules refuse keys of their own in their schemas.
 */
const KEYS: Readonly<Record<string, string>> = {
  clock: 'remove "clock"',
  dashboard: 'remove "dashboard"',
  "broker.persistence":
    'sessions and retained messages are always kept on disk; their limits are under "sessions" and "retained"',
  "queue.clock": 'remove "clock"',
  "queue.streams": 'use "shares", "eventsPolicy" and "telemetryPolicy"; remove "streams"',
  "queue.retain": 'it belongs to "maxBacklog" of an uplink; remove "retain"',
  "uplinks[].format": 'it is called "encoder"',
  "uplinks[].presets": 'remove "presets"',
  "http.users": 'accounts are not in the configuration: millrace user add NAME; remove "users"',
};

const VALUES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "uplinks[].order": { strict: "use fifo or live-first" },
};

/** The message for a planned key of the mapping at `path`; undefined when the key is not planned either. */
export function plannedKey(path: Path, key: string): string | undefined {
  const cure = lookUp(KEYS, general([...path, key]));
  return cure === undefined ? undefined : `"${key}" is not in this version: ${cure}`;
}

/** The message for a planned value at `path`; undefined when it is not planned either. */
export function plannedValue(path: Path, value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  const cure = lookUp(lookUp(VALUES, general(path)) ?? {}, value);
  return cure === undefined ? undefined : `"${value}" is not in this version; ${cure}`;
}

function general(path: Path): string {
  return path
    .map((step) => (typeof step === "number" ? "[]" : `.${step}`))
    .join("")
    .replace(/^\./, "");
}

function lookUp<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
