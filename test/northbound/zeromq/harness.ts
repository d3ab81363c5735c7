import type { Uplink, UplinkContext } from "../../../gateway/core/uplink.ts";
import { zeroMqModule } from "../../../gateway/northbound/zeromq/module.ts";
import { context } from "../mqtt/harness.ts";

/** A ZeroMQ uplink from options as a person writes them. */
export function zeroMqUplink(options: Record<string, unknown>, over: Partial<UplinkContext> = {}): Uplink {
  return zeroMqModule.create(zeroMqModule.schema.parse(options), context(over));
}
