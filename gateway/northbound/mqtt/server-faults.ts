import { isAbsolute } from "node:path";
import type { OptionFault } from "../../core/uplink.ts";
import type { MqttOptions } from "./options.ts";
import { certificateFault } from "./tls-files.ts";

type ServerOptions = Pick<MqttOptions, "url" | "urls" | "tls" | "username" | "password" | "version">;

/** What a schema cannot say of the options of a server: keys that need others, files that are no certificates. */
export function serverFaults(options: ServerOptions): OptionFault[] {
  const found: OptionFault[] = [];
  const { url, tls, username, password, version } = options;
  const secure = [url, ...options.urls].some((one) => /^(mqtts|wss):/.test(one));
  if (tls !== undefined && !secure) {
    found.push({ path: ["tls"], message: "is only used with mqtts:// and wss://" });
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
