// An MQTT 5 server for the benchmark of `millrace plan`: counts what comes, acknowledges after a round trip, and can go away.
import { createServer } from "node:net";
import mqttPacket from "mqtt-packet";

export class Upstream {
  /** Of records; the gateway's own status is not counted. */
  messages = 0;
  bytes = 0;
  /** When somebody connected last; performance.now(). */
  connectedAt = 0;
  #server;
  #waiting;
  #sockets = new Set();
  #rttMs;
  #answers = 0;
  #tookMs = 0;
  port = 0;

  constructor(rttMs) {
    this.#rttMs = rttMs;
  }

  /** What a message really waited for its acknowledgement on average: timers are late on a busy machine. */
  get rttMs() {
    return this.#answers === 0 ? Math.max(1, this.#rttMs) : this.#tookMs / this.#answers;
  }

  async listen() {
    this.#server = createServer((socket) => this.#take(socket));
    await new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(0, "127.0.0.1", resolve);
    });
    this.port = this.#server.address().port;
    return this;
  }

  /** Drops who is connected; whoever connects then waits for an answer, so that no back-off adds to the outage. */
  leave() {
    this.#waiting = [];
    for (const socket of this.#sockets) socket.destroy();
  }
  comeBack() {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const answer of waiting) answer();
  }

  async close() {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #take(socket) {
    this.#sockets.add(socket.setNoDelay(true));
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    const parser = mqttPacket.parser({ protocolVersion: 5 });
    const say = (packet) => socket.writable && socket.write(mqttPacket.generate(packet, { protocolVersion: 5 }));
    parser.on("packet", (packet) => {
      if (packet.cmd === "connect") {
        const welcome = () => {
          if (socket.destroyed) return;
          this.connectedAt = performance.now();
          say({ cmd: "connack", reasonCode: 0, sessionPresent: false });
        };
        if (this.#waiting) this.#waiting.push(welcome);
        else welcome();
      } else if (packet.cmd === "pingreq") say({ cmd: "pingresp" });
      else if (packet.cmd === "publish")
        this.#published(packet, () => say({ cmd: "puback", messageId: packet.messageId, reasonCode: 0 }));
    });
    socket.on("data", (bytes) => parser.parse(bytes));
  }

  #published(packet, answer) {
    if (!packet.topic.endsWith("/status")) {
      this.messages += 1;
      this.bytes += packet.length + (packet.length < 128 ? 2 : packet.length < 16_384 ? 3 : 4);
    }
    if (packet.qos === 0) return;
    if (this.#rttMs === 0) {
      answer();
      return;
    }
    const begun = performance.now();
    setTimeout(() => {
      answer();
      this.#answers += 1;
      this.#tookMs += performance.now() - begun;
    }, this.#rttMs);
  }
}
