import type { OptionFault, UplinkModule } from "../../core/uplink.ts";
import { clientIdOf } from "../mqtt/options.ts";
import { serverFaults } from "../mqtt/server-faults.ts";
import { makeLife, type NodeLife } from "./life.ts";
import { type SparkplugOptions, sparkplugSchema } from "./options.ts";
import { SparkplugUplink } from "./uplink.ts";

const lives = new WeakMap<SparkplugOptions, NodeLife>();

/** The uplink `type: sparkplug`: an edge node of Sparkplug B 3.0. `check` and `create` take what the schema gave. */
export const sparkplugModule: UplinkModule = {
  name: "sparkplug",
  schema: sparkplugSchema,
  tellsPlant: true,
  check(options, shared) {
    const found: OptionFault[] = serverFaults(options as SparkplugOptions);
    if (shared?.encoder !== undefined && shared.encoder !== "values")
      found.push({ path: ["encoder"], message: "Sparkplug has its own format; remove it" });
    return found;
  },
  policy: (options, { gatewayId, name }) => ({
    records: true,
    client: clientIdOf(options as SparkplugOptions, gatewayId, name),
    form: { record: "{topic}", control: "Gateway/{kind}" },
  }),
  create(options, context) {
    const own = options as SparkplugOptions;
    let life = lives.get(own);
    if (life === undefined) {
      life = makeLife(own, context);
      lives.set(own, life);
    }
    return new SparkplugUplink(own, context, life);
  },
};
