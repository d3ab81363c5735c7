// The other side of the RabbitMQ benchmark: amqplib alone, from memory, mandatory and persistent, with the same window.
//   node drain-amqplib.mjs <url> <exchange> <window> <messages> <bytes>    prints messages a second, by confirm
import { connect } from "amqplib";

const [url, exchange] = process.argv.slice(2, 4);
const [window, total, bytes] = process.argv.slice(4).map(Number);
const payload = Buffer.alloc(bytes, "x");
const model = await connect(url, { noDelay: true });
const channel = await model.createConfirmChannel();
const headersOf = (n) => ({
  id: `bench/telemetry/00000001/${n}`,
  prev: String(n - 1),
  chain: "00000001",
  clock: "synced",
});

const before = process.cpuUsage();
const ms = await new Promise((resolve, reject) => {
  const begun = performance.now();
  let sent = 0;
  let acked = 0;
  const next = (error) => {
    if (error) return reject(error);
    acked += 1;
    if (acked === total) return resolve(performance.now() - begun);
    if (sent < total) publish();
  };
  const publish = () => {
    sent += 1;
    const headers = headersOf(sent);
    const properties = { persistent: true, mandatory: true, headers, messageId: headers.id, timestamp: 1_732_300_000 };
    channel.publish(exchange, "plant.line-1.scan", payload, properties, next);
  };
  while (sent < Math.min(window, total)) publish();
});
const cpu = process.cpuUsage(before);
console.error(`cpu ${Math.round((cpu.user + cpu.system) / 1000)} ms of ${Math.round(ms)} ms`);
console.log(`rate ${(total / ms) * 1000}`);
await model.close();
