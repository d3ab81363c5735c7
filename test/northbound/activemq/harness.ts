import type { Uplink, UplinkContext } from "../../../gateway/core/uplink.ts";
import { activemqModule } from "../../../gateway/northbound/activemq/module.ts";
import { context } from "../mqtt/harness.ts";

/** An ActiveMQ uplink from options as a person writes them. */
export function activemqUplink(options: Record<string, unknown>, over: Partial<UplinkContext> = {}): Uplink {
  return activemqModule.create(activemqModule.schema.parse(options), context(over));
}
