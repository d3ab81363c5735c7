// The other side of the Kafka benchmark: kafkajs alone, from memory, the same requests, one under way at a time.
//   node drain-kafkajs.mjs <broker> <topic> <batch> <messages> <bytes>    prints messages a second, by acknowledgement
import kafkajs from "kafkajs";

const [broker, topic] = process.argv.slice(2, 4);
const [batch, total, bytes] = process.argv.slice(4).map(Number);
const { Kafka, Partitioners, logLevel } = kafkajs;
const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING });
const producer = kafka.producer({
  idempotent: true,
  maxInFlightRequests: 1,
  createPartitioner: Partitioners.DefaultPartitioner,
});
await producer.connect();
const value = Buffer.alloc(bytes, "x");
const before = process.cpuUsage();
const begun = performance.now();
for (let sent = 0; sent < total; sent += batch) {
  const messages = Array.from({ length: Math.min(batch, total - sent) }, (_, n) => ({
    key: "plant/line-1/scan",
    value,
    headers: {
      topic: "plant/line-1/scan",
      id: `bench/telemetry/00000001/${sent + n}`,
      prev: String(sent + n - 1),
      chain: "00000001",
      clock: "synced",
    },
  }));
  await producer.send({ topic, acks: -1, messages });
}
const ms = performance.now() - begun;
const cpu = process.cpuUsage(before);
console.error(`cpu ${Math.round((cpu.user + cpu.system) / 1000)} ms of ${Math.round(ms)} ms`);
console.log(`rate ${(total / ms) * 1000}`);
await producer.disconnect();
