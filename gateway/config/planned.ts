import type { Path } from "./faults.ts";

/**
 * What the design promises and this version does not have yet. It is refused by name, so that nobody believes it works.
 * Paths are written with `[]` for any index. Driver and uplink modules refuse keys of their own in their schemas.
 */
const KEYS: Readonly<Record<string, string>> = {
  clock: 'remove "clock"',
  commands: 'remove "commands"',
  dashboard: 'remove "dashboard"',
  "broker.users": 'without users only loopback may connect, and anonymously; remove "users"',
  "broker.sessions": 'sessions are kept in memory; remove "sessions"',
  "broker.persistence": 'sessions and retained messages are kept in memory; remove "persistence"',
  "broker.listeners[].cert": 'only listeners of type tcp; remove "cert"',
  "broker.listeners[].key": 'only listeners of type tcp; remove "key"',
  "broker.listeners[].ca": 'only listeners of type tcp; remove "ca"',
  "broker.listeners[].tls": 'only listeners of type tcp; remove "tls"',
  "broker.listeners[].path": 'only listeners of type tcp; remove "path"',
  "queue.clock": 'remove "clock"',
  "queue.streams": 'use "shares", "eventsPolicy" and "telemetryPolicy"; remove "streams"',
  "queue.retain": 'it belongs to "maxBacklog" of an uplink; remove "retain"',
  "uplinks[].accept": 'nothing comes down from an uplink; remove "accept"',
  "uplinks[].encoder": 'records are sent as JSON values; remove "encoder"',
  "uplinks[].format": 'records are sent as JSON values; remove "format"',
  "uplinks[].presets": 'remove "presets"',
  "uplinks[].preset": 'remove "preset"',
  "http.users": 'only loopback; remove "users"',
  "http.tls": 'only loopback; remove "tls"',
};

const VALUES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "broker.listeners[].type": { tls: "use tcp", ws: "use tcp", wss: "use tcp" },
  "uplinks[].type": { kafka: "use mqtt", rabbitmq: "use mqtt", activemq: "use mqtt", zeromq: "use mqtt" },
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
