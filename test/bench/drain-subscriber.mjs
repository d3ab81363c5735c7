// Counts what arrives at a server under plant/#, cheaply, and says how quickly it came.
//   node drain-subscriber.mjs <port> <messages>    prints "subscribed", then messages a second from first to last
import { connect } from "node:net";
import mqttPacket from "mqtt-packet";

const [port, total] = process.argv.slice(2).map(Number);
const socket = connect(port, "127.0.0.1").setNoDelay(true);
let rest = Buffer.alloc(0);
let count = 0;
let begun = 0;

socket.write(
  mqttPacket.generate({ cmd: "connect", clientId: "counter", protocolVersion: 4, clean: true, keepalive: 0 }),
);
socket.write(mqttPacket.generate({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "plant/#", qos: 0 }] }));
socket.on("data", (chunk) => {
  const data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
  let at = 0;
  for (;;) {
    let length = 0;
    let size = 1;
    for (; ; size += 1) {
      const byte = data[at + size];
      if (byte === undefined) break;
      length += (byte & 0x7f) * 128 ** (size - 1);
      if (byte < 0x80) break;
    }
    const end = at + size + 1 + length;
    if (data[at + size] === undefined || end > data.length) break;
    packet(data[at] >> 4);
    at = end;
  }
  rest = data.subarray(at);
});

function packet(type) {
  if (type === 9) console.log("subscribed");
  if (type !== 3) return;
  if (count === 0) begun = performance.now();
  count += 1;
  if (count < total) return;
  console.log(`rate ${(total / (performance.now() - begun)) * 1000}`);
  socket.destroy();
}
