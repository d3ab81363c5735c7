import type { AcceptRule } from "../../core/options/accept.ts";
import type { OptionFault, UplinkModule } from "../../core/uplink.ts";
import { acceptFaults, acceptRules } from "../accept.ts";
import { ServerList } from "../mqtt/servers.ts";
import { type RabbitOptions, rabbitSchema } from "./options.ts";
import { RabbitUplink } from "./uplink.ts";

/** The uplink `type: rabbitmq`. `check` and `create` take what the schema gave. */
export const rabbitModule: UplinkModule = {
  name: "rabbitmq",
  schema: rabbitSchema,
  check: (options) => faults(options as RabbitOptions),
  policy: (options, { gatewayId }) => {
    const accept = rulesOf(options as RabbitOptions, gatewayId);
    return accept.length === 0 ? {} : { accept };
  },
  create: (options, context) =>
    new RabbitUplink(options as RabbitOptions, context, serversOf(options as RabbitOptions)),
};

/** As a subscription that is acknowledged and not retained. */
const asTopics = ({ accept }: RabbitOptions) =>
  accept.map(({ from, to }) => ({ from, to, qos: 1, retain: "strip" }) as const);

function rulesOf(options: RabbitOptions, gatewayId: string): readonly AcceptRule[] {
  return acceptRules(asTopics(options), gatewayId);
}

const lists = new WeakMap<RabbitOptions, ServerList>();

/** Outlives the connections of an uplink: it is made anew for each of them, its options are not. */
function serversOf(options: RabbitOptions): ServerList {
  const known = lists.get(options) ?? new ServerList([options.url, ...options.urls]);
  lists.set(options, known);
  return known;
}

function faults(options: RabbitOptions): OptionFault[] {
  const found: OptionFault[] = acceptFaults(asTopics(options));
  const { url, urls, tls, username, password, declare, queue, maxLength } = options;
  const all = [url, ...urls];
  if (tls !== undefined && !all.some((one) => one.startsWith("amqps:")))
    found.push({ path: ["tls"], message: "is only used with amqps://" });
  if ((tls?.cert === undefined) !== (tls?.key === undefined))
    found.push({ path: ["tls"], message: "cert and key belong together" });
  if ((username === undefined) !== (password === undefined))
    found.push({ path: ["username"], message: "username and password belong together" });
  if (!declare && queue !== undefined) found.push({ path: ["queue"], message: "is only used with declare: true" });
  if (!declare && maxLength !== undefined)
    found.push({ path: ["maxLength"], message: "is only used with declare: true" });
  return found;
}
