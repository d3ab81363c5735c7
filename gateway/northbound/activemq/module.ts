import type { AcceptRule } from "../../core/options/accept.ts";
import type { OptionFault, UplinkModule } from "../../core/uplink.ts";
import { acceptFaults, acceptRules } from "../accept.ts";
import { ServerList } from "../mqtt/servers.ts";
import { type ActivemqOptions, activemqSchema, placeOf } from "./options.ts";
import { ActivemqUplink } from "./uplink.ts";

/** The uplink `type: activemq`. `check` and `create` take what the schema gave. */
export const activemqModule: UplinkModule = {
  name: "activemq",
  schema: activemqSchema,
  check: (options) => faults(options as ActivemqOptions),
  policy: (options, { gatewayId }) => {
    const accept = rulesOf(options as ActivemqOptions, gatewayId);
    return accept.length === 0 ? {} : { accept };
  },
  create: (options, context) =>
    new ActivemqUplink(options as ActivemqOptions, context, serversOf(options as ActivemqOptions)),
};

/** As a subscription that is acknowledged and not retained. */
const asTopics = ({ accept }: ActivemqOptions) =>
  accept.map(({ from, to }) => ({ from, to, qos: 1, retain: "strip" }) as const);

function rulesOf(options: ActivemqOptions, gatewayId: string): readonly AcceptRule[] {
  return acceptRules(asTopics(options), gatewayId);
}

const lists = new WeakMap<ActivemqOptions, ServerList>();

/** Outlives the connections of an uplink: it is made anew for each of them, its options are not. */
function serversOf(options: ActivemqOptions): ServerList {
  const known = lists.get(options) ?? new ServerList([options.url, ...options.urls]);
  lists.set(options, known);
  return known;
}

function faults(options: ActivemqOptions): OptionFault[] {
  const found: OptionFault[] = acceptFaults(asTopics(options));
  const { url, urls, tls, username, password, kind, address } = options;
  const all = [url, ...urls];
  const secure = all.some((one) => one.startsWith("amqps:"));
  if (tls !== undefined && !secure) found.push({ path: ["tls"], message: "is only used with amqps://" });
  if ((tls?.cert === undefined) !== (tls?.key === undefined))
    found.push({ path: ["tls"], message: "cert and key belong together" });
  if (username === undefined && password !== undefined)
    found.push({ path: ["password"], message: "needs its username" });
  if (kind !== undefined && /^(queue|topic):\/\//.test(address))
    found.push({ path: ["kind"], message: "the address says it already; remove one" });
  const open = all.find((one) => one.startsWith("amqp:") && !isHere(placeOf(one).host));
  if (password !== undefined && open !== undefined) {
    const message = "sends the password readable; use amqps://";
    found.push({ path: open === url ? ["url"] : ["urls", urls.indexOf(open)], message, warning: true });
  }
  return found;
}

function isHere(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
