import type { UplinkModule } from "../core/uplink.ts";
import { activemqModule } from "./activemq/module.ts";
import { kafkaModule } from "./kafka/module.ts";
import { mqttModule } from "./mqtt/module.ts";
import { rabbitModule } from "./rabbitmq/module.ts";
import { sparkplugModule } from "./sparkplug/module.ts";
import { zeroMqModule } from "./zeromq/module.ts";

/** Every kind of uplink; the only file that knows them all. */
export const uplinkModules: readonly UplinkModule[] = [
  mqttModule,
  rabbitModule,
  kafkaModule,
  activemqModule,
  zeroMqModule,
  sparkplugModule,
];

export { type EncoderOption, encoderInput, encoderOption, isPerTag } from "./encoders/options.ts";
export { serverFaults } from "./mqtt/server-faults.ts";
export { type TopicSource, topicPlanFaults, topicReachFaults, upstreamFilters } from "./topic-check.ts";
