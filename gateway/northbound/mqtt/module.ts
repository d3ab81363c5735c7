import type { UplinkContext, UplinkModule, UplinkPolicy } from "../../core/uplink.ts";
import { acceptFaults, acceptRules } from "../accept.ts";
import { topicFault } from "../topic-form.ts";
import { ExpiryWatch } from "./expiry.ts";
import { clientIdOf, effective, type MqttOptions, mqttSchema } from "./options.ts";
import { presetFaults, presetOf } from "./presets.ts";
import { serverFaults } from "./server-faults.ts";
import { ServerList } from "./servers.ts";
import { TlsMemory } from "./tls-files.ts";
import { MqttUplink, type UplinkLife } from "./uplink.ts";

/** The uplink `type: mqtt`. `check` and `create` take what the schema gave. */
export const mqttModule: UplinkModule = {
  name: "mqtt",
  schema: mqttSchema,
  check: (options, shared) => [
    ...acceptFaults((options as MqttOptions).accept),
    ...serverFaults(options as MqttOptions),
    ...presetFaults(options as MqttOptions, shared),
  ],
  topicFault(options, topic) {
    const { topics } = presetOf(options as MqttOptions);
    return topics === undefined ? undefined : topicFault(topic, topics);
  },
  policy: (options, { gatewayId, name }) => policy(options as MqttOptions, gatewayId, name),
  create: (options, context) =>
    new MqttUplink(effective(options as MqttOptions), context, lifeOf(options as MqttOptions, context)),
};

const lives = new WeakMap<MqttOptions, UplinkLife>();

/** What outlives the connections of an uplink: it is made anew for each of them, its options are not. */
function lifeOf(options: MqttOptions, { name, log, metrics }: UplinkContext): UplinkLife {
  const known = lives.get(options);
  if (known !== undefined) return known;
  const made = {
    tls: new TlsMemory(),
    versions: new Map(),
    servers: new ServerList([options.url, ...options.urls]),
    expiry: new ExpiryWatch(name, log, metrics),
    sessions: new Set<string>(),
  };
  lives.set(options, made);
  return made;
}

function policy(options: MqttOptions, gatewayId: string, name: string): UplinkPolicy {
  const { maxRate, topics, form, leastPauseMs, ...preset } = presetOf(options);
  const accept = acceptRules(options.accept, gatewayId);
  const { version } = effective(options);
  const echoes = version === 5 ? "never" : version === 4 ? "always" : "perhaps";
  const { batch: asked } = options;
  const batch =
    asked === undefined
      ? preset.batch
      : { count: asked.count, bytes: asked.bytes, lingerMs: asked.linger, gzip: asked.gzip };
  return {
    maxRate,
    client: clientIdOf(options, gatewayId, name),
    ...(batch === undefined || batch.count < 2 ? {} : { batch }),
    ...(leastPauseMs === undefined ? {} : { leastPauseMs }),
    ...(topics === undefined ? {} : { topics }),
    ...(form === undefined ? {} : { form }),
    ...(accept.length === 0 ? {} : { accept, echoes }),
  };
}
