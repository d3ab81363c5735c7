import type { UplinkContext } from "../../../gateway/core/uplink.ts";
import { type KafkaOptions, kafkaSchema } from "../../../gateway/northbound/kafka/options.ts";
import { KafkaUplink } from "../../../gateway/northbound/kafka/uplink.ts";
import { FakeKafka } from "../../fakes/fake-kafka.ts";
import { context } from "../mqtt/harness.ts";

/** A Kafka uplink from options as a person writes them, on a cluster in memory. */
export function kafkaUplink(
  options: Record<string, unknown> = {},
  over: Partial<UplinkContext> = {},
  cluster = new FakeKafka(),
) {
  const written = { brokers: ["127.0.0.1:9092"], batch: { linger: "0ms" }, ...options };
  const parsed: KafkaOptions = kafkaSchema.parse(written);
  return { uplink: new KafkaUplink(parsed, context(over), () => cluster), cluster };
}
