import type { Uplink, UplinkContext } from "../../../gateway/core/uplink.ts";
import { rabbitModule } from "../../../gateway/northbound/rabbitmq/module.ts";
import { context } from "../mqtt/harness.ts";

/** A RabbitMQ uplink from options as a person writes them. */
export function rabbitUplink(options: Record<string, unknown>, over: Partial<UplinkContext> = {}): Uplink {
  return rabbitModule.create(rabbitModule.schema.parse(options), context(over));
}
