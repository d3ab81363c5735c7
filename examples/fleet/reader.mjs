// One member of a consumer group that reads what a fleet sends: partitions are shared among all who run. What comes is appended to a
// file and committed afterwards, so that a member that is killed loses nothing; what comes twice has the same record id.
//   BROKERS=127.0.0.1:9092 node reader.mjs reader-1.ndjson
// The proof, over the files of all members: cat reader-*.ndjson | millrace verify --file -
import { open } from "node:fs/promises";
import kafkajs from "kafkajs";

const { BROKERS = "127.0.0.1:9092", GROUP = "history", TOPIC = "fleet" } = process.env;
const file = await open(process.argv[2] ?? "reader.ndjson", "a");
const kafka = new kafkajs.Kafka({
  brokers: BROKERS.split(","),
  logLevel: kafkajs.logLevel.ERROR,
  retry: { retries: 50 },
});
const consumer = kafka.consumer({ groupId: GROUP, sessionTimeout: 10_000 });
await consumer.connect();
await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
await consumer.run({
  autoCommit: false,
  eachBatch: async ({ batch, resolveOffset, heartbeat }) => {
    const lines = batch.messages.map(({ key, value, headers }) => {
      const properties = Object.fromEntries(Object.entries(headers ?? {}).map(([name, one]) => [name, String(one)]));
      const { topic = String(key), ...rest } = properties;
      return JSON.stringify({ topic, payload: String(value), properties: rest, partition: batch.partition });
    });
    // A kill in the midst of a line before: that line is not whole, and comes again.
    await file.appendFile(`\n${lines.join("\n")}\n`);
    await file.datasync();
    const { topic, partition } = batch;
    await consumer.commitOffsets([{ topic, partition, offset: String(BigInt(batch.lastOffset()) + 1n) }]);
    resolveOffset(batch.lastOffset());
    await heartbeat();
  },
});
process.stdout.write("reading\n");
for (const signal of ["SIGINT", "SIGTERM"])
  process.once(signal, async () => {
    await consumer.disconnect();
    await file.close();
    process.exit(0);
  });
