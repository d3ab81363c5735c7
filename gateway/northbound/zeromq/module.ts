import type { OptionFault, UplinkModule } from "../../core/uplink.ts";
import { ServerList } from "../mqtt/servers.ts";
import { absence } from "./library.ts";
import { isLocal, type ZeroMqOptions, zeroMqSchema } from "./options.ts";
import { lossOf, ZeroMqUplink } from "./uplink.ts";

/** The uplink `type: zeromq`. `check` and `create` take what the schema gave. */
export const zeroMqModule: UplinkModule = {
  name: "zeromq",
  schema: zeroMqSchema,
  check: (options) => faults(options as ZeroMqOptions),
  create: (options, context) =>
    new ZeroMqUplink(options as ZeroMqOptions, context, serversOf(options as ZeroMqOptions)),
};

const lists = new WeakMap<ZeroMqOptions, ServerList>();

/** Outlives the connections of an uplink: it is made anew for each of them, its options are not. */
function serversOf(options: ZeroMqOptions): ServerList {
  const known = lists.get(options) ?? new ServerList([options.url, ...options.urls]);
  lists.set(options, known);
  return known;
}

function faults({ url, urls, pattern, curve }: ZeroMqOptions): OptionFault[] {
  const found: OptionFault[] = [];
  const missing = absence();
  if (missing !== undefined) found.push({ path: [], message: missing, warning: true });
  const open = curve === undefined ? [url, ...urls].filter((one) => !isLocal(one)) : [];
  if (open.length > 0) {
    const message = `what is sent to ${open.join(", ")} can be read and forged on the way; use curve`;
    found.push({ path: ["curve"], message, warning: true });
  }
  const loss = lossOf(pattern);
  if (loss !== undefined) found.push({ path: ["pattern"], message: loss, warning: true });
  if ((curve?.publicKey === undefined) !== (curve?.secretKey === undefined))
    found.push({ path: ["curve"], message: "publicKey and secretKey belong together" });
  return found;
}
