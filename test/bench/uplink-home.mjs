// An MQTT uplink with its forwarder, without a gateway around it.
import { clock, load, noMetrics, silentLogger } from "./queue-home.mjs";

const { Forwarder } = await load("northbound/forwarder.js");
const { topicMapper } = await load("northbound/topics.js");
const { valuesEncoder } = await load("northbound/encoders/values.js");
const { mqttModule } = await load("northbound/mqtt/module.js");

/** Sends what `queue` owes to the uplink `cloud`, or another. Not started. */
export function forwarderOf(queue, port, window, options = {}, host = "127.0.0.1", name = "cloud") {
  const uplink = mqttModule.schema.parse({ url: `mqtt://${host}:${port}`, inFlight: window });
  const context = { name, gatewayId: "bench", log: silentLogger, metrics: noMetrics };
  return new Forwarder({
    name,
    queue,
    gatewayId: "bench",
    uplink: () => mqttModule.create(uplink, context),
    encoder: valuesEncoder,
    topics: topicMapper("{topic}", "bench"),
    clock,
    log: silentLogger,
    metrics: noMetrics,
    options,
  });
}
