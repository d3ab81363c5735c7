import { isAbsolute, join, resolve } from "node:path";
import { ExternalBroker } from "./broker/external-broker.ts";
import type { CommandIntake } from "./broker/hooks.ts";
import { LocalBroker, type LocalMessage } from "./broker/local-broker.ts";
import { secretReader } from "./config/secrets.ts";
import type { LoadedConfig } from "./config/types.ts";
import type { Auditor } from "./core/audit.ts";
import type { Clock } from "./core/clock.ts";
import type { Logger } from "./core/log.ts";
import type { Metrics } from "./core/metrics.ts";
import type { BrokerOptions } from "./core/options/broker.ts";
import { defaultClientId, type ExternalBrokerOptions } from "./core/options/external-broker.ts";
import type { Queue } from "./core/queue.ts";
import { LocalSession } from "./northbound/mqtt/local/session.ts";

/** With `queue.sync: always`, what is written of the local sessions without an acknowledgement is fsynced this soon. */
const ALWAYS_MS = 10;

/** Where local clients and the gateway meet. */
export interface Broker {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Gives local subscribers a message, QoS 0; with correlation data (base64) where it speaks MQTT 5. Never waits, never throws. */
  publishLive(topic: string, payload: Uint8Array, correlation?: string): void;
  /** A message from upstream for local subscribers; resolves when it is kept. @throws NotConnectedError, StorageError. */
  publish(message: LocalMessage): Promise<void>;
  /** Replaces the users while it runs; absent where they are another's. */
  setUsers?(users: BrokerOptions["users"]): void;
  /** Where it can be reached. */
  addresses(): readonly unknown[];
  status(): object & { readonly journal?: { readonly healthy: boolean } };
}

export interface BrokerParts {
  readonly config: LoadedConfig;
  readonly queue: Queue;
  /** Rises with what uplinks acknowledge. */
  readonly progress: () => number;
  /** What the gateway says of itself beside `online`. */
  readonly about: () => object;
  readonly commands: CommandIntake;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly audit: Auditor;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The embedded broker, or the one that the configuration says is already there. */
export function makeBroker(parts: BrokerParts): Broker {
  const { config, queue, progress, commands, clock, metrics, env, audit } = parts;
  const log = parts.log.child({ part: "broker" });
  const { external } = config.broker;
  if (external) return externalBroker(external, { ...parts, log });
  return new LocalBroker({
    secret: secretReader(config.folder, env),
    path: (relative) => (isAbsolute(relative) ? relative : resolve(config.folder, relative)),
    options: config.broker,
    capture: config.capture,
    queue,
    progress,
    commands,
    folder: join(config.gateway.dataDir, "state"),
    syncMs: config.queue.sync === "always" ? ALWAYS_MS : config.queue.sync,
    gatewayId: config.gateway.id,
    clock,
    log,
    metrics,
    audit,
  });
}

function externalBroker(options: ExternalBrokerOptions, parts: BrokerParts): Broker {
  const { config, queue, progress, about, commands, clock, log, metrics, env } = parts;
  const gatewayId = config.gateway.id;
  const clientId = options.clientId ?? defaultClientId(gatewayId);
  const devices = config.links.flatMap((link) => link.devices);
  const { topic } = config.commands;
  // Other gateways may have their devices on the same broker.
  const writes = new Set(devices.map(({ name }) => `${topic}/${name}/write`));
  const results = devices.map(({ name }) => `${topic}/${name}/result`);
  return new ExternalBroker({
    urls: [options.url, ...options.urls],
    clientId,
    session: (handlers) =>
      new LocalSession({
        options,
        clientId,
        handlers,
        clock,
        log,
        metrics,
        secret: secretReader(config.folder, env),
        path: (relative) => (isAbsolute(relative) ? relative : resolve(config.folder, relative)),
      }),
    capture: config.capture,
    queue,
    progress,
    commands: { matches: (one) => writes.has(one), take: (message) => commands.take(message) },
    commandFilters: [...writes],
    ownTopics: new Set([`${gatewayId}/status`, ...results, ...devices.map((device) => device.topic)]),
    gatewayId,
    about,
    notePath: join(config.gateway.dataDir, "state", "external-broker.json"),
    clock,
    log,
    metrics,
  });
}
