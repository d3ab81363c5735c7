// The other side of the drain benchmark: mqtt.js alone, from memory, QoS 1 with the same window.
//   node drain-mqttjs.mjs <port> <window> <messages> <bytes>    prints messages a second, by PUBACK
import mqtt from "mqtt";

const [port, window, total, bytes] = process.argv.slice(2).map(Number);
const payload = Buffer.alloc(bytes, "x");
const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5, reconnectPeriod: 0 });
await new Promise((resolve, reject) => client.once("connect", resolve).once("error", reject));
client.stream.setNoDelay(true);

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
    client.publish("plant/line-1/scan", payload, { qos: 1 }, next);
  };
  while (sent < Math.min(window, total)) publish();
});
const cpu = process.cpuUsage(before);
console.error(`cpu ${Math.round((cpu.user + cpu.system) / 1000)} ms of ${Math.round(ms)} ms`);
console.log(`rate ${(total / ms) * 1000}`);
client.end(true);
