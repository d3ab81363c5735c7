// The upstream's witness of the scale benchmark, a process of its own: takes what arrives under plant/# and checks it.
//   node scale-side.mjs <port> <tags>
// Prints "subscribed". On SIGTERM one line of JSON: `scans` and good `samples` received once, `bad` samples, `short` scans, `twice`
// the records that came again, and `missing` those that another one names as its predecessor and that did not come.
import { connect } from "node:net";
import mqttPacket from "mqtt-packet";

const V5 = { protocolVersion: 5 };
const [port, tags] = process.argv.slice(2).map(Number);
const socket = connect(port, "127.0.0.1").setNoDelay(true);
const parser = mqttPacket.parser(V5);
const seen = { scans: 0, samples: 0, bad: 0, short: 0, twice: 0 };
const received = new Set();
const named = new Set();

const say = (packet) => socket.write(mqttPacket.generate({ ...V5, ...packet }, V5));
say({ cmd: "connect", clientId: "witness", clean: true, keepalive: 0 });
say({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "plant/#", qos: 0 }] });
socket.on("data", (chunk) => parser.parse(chunk));
parser.on("packet", (packet) => {
  if (packet.cmd === "suback") console.log("subscribed");
  if (packet.cmd === "publish") take(packet);
});
process.on("SIGTERM", () => {
  const least = Math.min(...received);
  const missing = [...named].filter((seq) => seq >= least && !received.has(seq)).length;
  console.log(JSON.stringify({ ...seen, missing }));
  socket.destroy();
});

function take({
  payload,
  properties: {
    userProperties: { id, prev },
  },
}) {
  const seq = Number(id.slice(id.lastIndexOf("/") + 1));
  if (received.has(seq)) {
    seen.twice += 1;
    return;
  }
  received.add(seq);
  named.add(Number(prev));
  const { values, errors = {} } = JSON.parse(payload);
  const good = Object.keys(values).length;
  seen.scans += 1;
  seen.samples += good;
  seen.bad += Object.keys(errors).length;
  if (good < tags) seen.short += 1;
}
