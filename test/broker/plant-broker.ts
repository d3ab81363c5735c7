import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import {
  generate,
  type IConnectPacket,
  type IPublishPacket,
  type ISubscribePacket,
  type Packet,
  parser,
} from "mqtt-packet";

/** A broker that is already in the plant, for tests: it keeps one session or none, and does what the test says. */
export class PlantBroker {
  /** Of CONNACK. */
  present = false;
  connack: number | undefined;
  properties: Record<string, number | boolean> = {};
  only: 4 | undefined;
  /** The answer to a subscription. */
  grant: (filter: string) => number = () => 2;
  readonly connects: IConnectPacket[] = [];
  readonly packets: Packet[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #socket: Socket | undefined;
  #version: 4 | 5 = 5;

  constructor() {
    this.#server = createServer((socket) => this.#accept(socket));
  }
  async listen(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }
  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    return `mqtt://127.0.0.1:${address.port}`;
  }
  send(...packets: Packet[]): void {
    for (const packet of packets) this.#socket?.write(generate(packet, { protocolVersion: this.#version }));
  }
  publish(topic: string, payload: string, over: Partial<IPublishPacket> = {}): void {
    this.send({ cmd: "publish", topic, payload, qos: 1, messageId: 1, retain: false, dup: false, ...over });
  }
  /** Ends the connection without a word. */
  drop(): void {
    this.#socket?.destroy();
  }
  of<C extends Packet["cmd"]>(cmd: C): Extract<Packet, { cmd: C }>[] {
    return this.packets.filter((packet): packet is Extract<Packet, { cmd: C }> => packet.cmd === cmd);
  }
  /** Packet identifiers of what came as `cmd`, in order. */
  ids(cmd: Packet["cmd"]): (number | undefined)[] {
    return this.of(cmd).map((packet) => packet.messageId);
  }
  get filters(): string[] {
    return this.of("subscribe").flatMap((packet) => packet.subscriptions.map(({ topic }) => topic));
  }
  get subscriptions(): ISubscribePacket["subscriptions"] {
    return this.of("subscribe").flatMap((packet) => packet.subscriptions);
  }
  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    const parse = parser();
    parse.on("packet", (packet: Packet) => this.#on(packet, socket));
    socket.on("data", (chunk) => parse.parse(chunk));
  }

  #on(packet: Packet, socket: Socket): void {
    if (packet.cmd === "connect") {
      this.#socket = socket;
      this.#version = packet.protocolVersion === 5 ? 5 : 4;
      this.connects.push(packet);
      const refused = this.#version === 5 && this.only === 4;
      const code = this.connack ?? 0;
      if (refused) {
        this.#version = 4;
        this.send({ cmd: "connack", returnCode: 1, sessionPresent: false });
      } else if (this.#version === 5) {
        const { properties } = this;
        this.send({ cmd: "connack", reasonCode: code, sessionPresent: this.present && code === 0, properties });
      } else this.send({ cmd: "connack", returnCode: code, sessionPresent: this.present && code === 0 });
      return;
    }
    this.packets.push(packet);
    const messageId = packet.messageId ?? 0;
    if (packet.cmd === "subscribe") {
      this.send({ cmd: "suback", messageId, granted: packet.subscriptions.map(({ topic }) => this.grant(topic)) });
    } else if (packet.cmd === "unsubscribe") {
      this.send({ cmd: "unsuback", messageId, granted: packet.unsubscriptions.map(() => 0) });
    } else if (packet.cmd === "publish" && packet.qos === 1) this.send({ cmd: "puback", messageId, reasonCode: 0 });
    else if (packet.cmd === "pubrec") this.send({ cmd: "pubrel", messageId, reasonCode: 0 });
    else if (packet.cmd === "pingreq") this.send({ cmd: "pingresp" });
  }
}
