import { isAbsolute } from "node:path";
import type { OptionFault, UplinkModule } from "../../core/uplink.ts";
import { certificateFault } from "./dial.ts";
import { type MqttOptions, mqttSchema } from "./options.ts";
import { MqttUplink } from "./uplink.ts";

/** The uplink `type: mqtt`. `check` and `create` take what the schema gave. */
export const mqttModule: UplinkModule = {
  name: "mqtt",
  schema: mqttSchema,
  check: (options) => faults(options as MqttOptions),
  create: (options, context) => new MqttUplink(options as MqttOptions, context),
};

function faults(options: MqttOptions): OptionFault[] {
  const found: OptionFault[] = [];
  const { url, tls, username, password, version } = options;
  const secure = url.startsWith("mqtts:");
  if (tls !== undefined && !secure) {
    found.push({ path: ["tls"], message: "is only used with mqtts://; the URL says mqtt://" });
  }
  if (tls?.cert !== undefined && tls.key === undefined) {
    found.push({ path: ["tls", "cert"], message: "needs its private key beside it: tls.key" });
  }
  if (tls?.key !== undefined && tls.cert === undefined) {
    found.push({ path: ["tls", "key"], message: "needs its certificate beside it: tls.cert" });
  }
  for (const key of ["ca", "cert"] as const) {
    const file = tls?.[key];
    const fault = file !== undefined && isAbsolute(file) ? certificateFault(file) : undefined;
    if (fault !== undefined)
      found.push({ path: ["tls", key], message: `no certificate can be read from it: ${fault}` });
  }
  // 3.1.1 has no password without a user name [MQTT-3.1.2-22], and auto may end there.
  if (password !== undefined && username === undefined && version !== 5) {
    found.push({ path: ["password"], message: "needs a username beside it, unless version is 5" });
  }
  return found;
}
