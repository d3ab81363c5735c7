// The other side of the ActiveMQ benchmark: rhea alone, from memory, durable messages with the same window.
//   node drain-rhea.mjs <port> <address> <window> <messages> <bytes>    prints messages a second, by acknowledgement
import rhea from "rhea";

const [port, address, window, total, bytes] = process.argv.slice(2).map((text, at) => (at === 1 ? text : Number(text)));
const body = rhea.message.data_section(Buffer.alloc(bytes, "x"));
const login = { username: "gw", password: "gw-secret" };
const connection = rhea.create_container().connect({ host: "127.0.0.1", port, reconnect: false, ...login });
const sender = connection.open_sender({
  target: { address },
  snd_settle_mode: 0,
  rcv_settle_mode: 0,
  autosettle: true,
});
await new Promise((resolve) => sender.once("sendable", resolve));

const before = process.cpuUsage();
const begun = performance.now();
let sent = 0;
let acked = 0;
const ms = await new Promise((resolve) => {
  const publish = () => {
    while (sent < total && sent - acked < window && sender.sendable()) {
      sent += 1;
      sender.send({
        durable: true,
        body,
        application_properties: {
          topic: "plant/line-1/scan",
          id: `bench/telemetry/00000001/${sent}`,
          prev: String(sent - 1),
          chain: "00000001",
          clock: "synced",
        },
        message_id: `bench/telemetry/00000001/${sent}`,
        creation_time: new Date(),
        subject: "plant/line-1/scan",
      });
    }
  };
  sender.on("accepted", () => {
    acked += 1;
    if (acked === total) resolve(performance.now() - begun);
    else publish();
  });
  sender.on("sendable", publish);
  publish();
});
const cpu = process.cpuUsage(before);
console.error(`cpu ${Math.round((cpu.user + cpu.system) / 1000)} ms of ${Math.round(ms)} ms`);
console.log(`rate ${(total / ms) * 1000}`);
process.exit(0);
