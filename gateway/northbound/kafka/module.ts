import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { ConfigError, messageOf } from "../../core/errors.ts";
import type { AcceptRule } from "../../core/options/accept.ts";
import type { OptionFault, UplinkContext, UplinkModule } from "../../core/uplink.ts";
import { acceptFaults, acceptRules } from "../accept.ts";
import { type ClientSettings, KafkaClient } from "./client.ts";
import { type KafkaOptions, kafkaSchema } from "./options.ts";
import { templateFault } from "./topic.ts";
import { KafkaUplink } from "./uplink.ts";

/** The uplink `type: kafka`. `check` and `create` take what the schema gave. */
export const kafkaModule: UplinkModule = {
  name: "kafka",
  schema: kafkaSchema,
  check: (options) => faults(options as KafkaOptions),
  policy: (options, { gatewayId }) => {
    const accept = rulesOf(options as KafkaOptions, gatewayId);
    return { keys: true, ...(accept.length === 0 ? {} : { accept }) };
  },
  create: (options, context) => {
    const kafka = options as KafkaOptions;
    return new KafkaUplink(kafka, context, () => new KafkaClient(settingsOf(kafka, context)));
  },
};

/** As a subscription that is acknowledged and not retained. */
const asTopics = ({ accept }: KafkaOptions) =>
  accept.map(({ from, to }) => ({ from, to, qos: 1, retain: "strip" }) as const);

function rulesOf(options: KafkaOptions, gatewayId: string): readonly AcceptRule[] {
  return acceptRules(asTopics(options), gatewayId);
}

function faults(options: KafkaOptions): OptionFault[] {
  const found: OptionFault[] = acceptFaults(asTopics(options));
  const { tls, sasl, declare, partitions, replication, kafkaTopic, brokers, batch, maxMessage, group, accept } =
    options;
  const add = (path: string, message: string, warning = false) =>
    found.push({ path: [path], message, ...(warning ? { warning } : {}) });
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) add("tls", "cert and key belong together");
  if (!declare && partitions !== undefined) add("partitions", "is only used with declare: true");
  if (!declare && replication !== undefined) add("replication", "is only used with declare: true");
  const fault = templateFault(kafkaTopic);
  if (fault !== undefined) add("kafkaTopic", fault);
  if (batch.bytes < maxMessage && batch.count > 1 && batch.bytes > 1024 * 1024)
    add("batch", "requests of more than 1 MiB are refused by brokers with their default settings", true);
  if (group !== undefined && accept.length === 0) add("group", "is only used with accept");
  const away = brokers.some((one) => !/^(127\.|localhost:|\[::1\])/.test(one));
  if (sasl?.mechanism === "plain" && tls === undefined && away)
    add("sasl", "plain sends the password readable without tls; add tls: {}", true);
  return found;
}

function settingsOf(options: KafkaOptions, context: UplinkContext): ClientSettings {
  const { clientId, brokers, idempotent, compression, declare, partitions, replication, group } = options;
  const { connectTimeout, ackTimeout } = options;
  const { name, gatewayId, log } = context;
  return {
    clientId: clientId ?? `millrace-${gatewayId}-${name}`,
    brokers,
    ssl: sslOf(options, context),
    sasl: saslOf(options, context),
    idempotent,
    gzip: compression === "gzip",
    declare: declare ? { partitions, replication } : undefined,
    connectTimeoutMs: connectTimeout,
    requestTimeoutMs: ackTimeout,
    group: group ?? `millrace-${gatewayId}`,
    log,
  };
}

/** @throws ConfigError when a file cannot be read. */
function sslOf({ tls, brokers }: KafkaOptions, context: UplinkContext): ClientSettings["ssl"] {
  if (tls === undefined) return undefined;
  const pem = (name: "ca" | "cert" | "key") => {
    const file = tls[name];
    if (file === undefined) return {};
    try {
      return { [name]: readFileSync(context.path(file)) };
    } catch (error) {
      throw new ConfigError(`tls.${name}: ${messageOf(error)}`, { cause: error });
    }
  };
  const [first = ""] = brokers;
  const host = first.slice(0, first.lastIndexOf(":"));
  const servername = tls.servername ?? (brokers.length === 1 && isIP(host) === 0 ? host : undefined);
  return {
    minVersion: "TLSv1.2",
    ...pem("ca"),
    ...pem("cert"),
    ...pem("key"),
    ...(servername === undefined ? {} : { servername }),
  };
}

function saslOf({ sasl }: KafkaOptions, context: UplinkContext): ClientSettings["sasl"] {
  if (sasl === undefined) return undefined;
  const { mechanism, username } = sasl;
  return { mechanism, username, password: context.secret(sasl.password).reveal() } as ClientSettings["sasl"];
}
