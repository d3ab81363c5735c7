// Load for the fan-in benchmark, a process of its own: N raw MQTT clients, each with a window of QoS 1 publishes.
//   node fan-in-load.mjs <port> <clients> <window> <messages in all>     prints messages a second, by PUBACK
import { connect } from "node:net";
import mqttPacket from "mqtt-packet";

const [port, clients, window, total] = process.argv.slice(2).map(Number);
const payload = Buffer.alloc(200, "x");
const each = Math.ceil(total / clients);
let acked = 0;

/** Connects; resolves with a function that publishes `each` messages and resolves when all are acknowledged. */
function client(number) {
  return new Promise((ready, fail) => {
    const socket = connect(port, "127.0.0.1").setNoDelay(true);
    const parser = mqttPacket.parser({ protocolVersion: 4 });
    let sent = 0;
    let got = 0;
    let done = () => {};
    const publish = () => {
      socket.cork();
      while (sent < each && sent - got < window) {
        const messageId = (sent % 65_535) + 1;
        socket.write(
          mqttPacket.generate({
            cmd: "publish",
            topic: `plant/scan/${number}`,
            payload,
            qos: 1,
            messageId,
            dup: false,
            retain: false,
          }),
        );
        sent += 1;
      }
      socket.uncork();
    };
    parser.on("packet", (packet) => {
      if (packet.cmd === "connack") {
        ready(() => {
          publish();
          return new Promise((resolve) => {
            done = resolve;
          });
        });
      }
      if (packet.cmd !== "puback") return;
      got += 1;
      acked += 1;
      if (got === each) {
        socket.end(mqttPacket.generate({ cmd: "disconnect" }));
        done();
      }
    });
    socket.on("data", (chunk) => {
      parser.parse(chunk);
      if (sent > 0) publish();
    });
    socket.on("error", fail);
    socket.write(
      mqttPacket.generate({
        cmd: "connect",
        protocolId: "MQTT",
        protocolVersion: 4,
        clean: true,
        clientId: `load-${number}`,
        keepalive: 60,
      }),
    );
  });
}

const all = await Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
const begun = performance.now();
await Promise.all(all.map((start) => start()));
console.log(`rate ${Math.round((acked / (performance.now() - begun)) * 1000)}`);
process.exit(0);
