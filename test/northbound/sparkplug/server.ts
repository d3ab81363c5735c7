import { Buffer } from "node:buffer";
import { createServer, type Server, type Socket } from "node:net";
import {
  generate,
  type IConnectPacket,
  type IDisconnectPacket,
  type IPublishPacket,
  type ISubscribePacket,
  type Packet,
  parser,
} from "mqtt-packet";
import {
  decodePayload,
  encodePayload,
  type Metric,
  type Payload,
} from "../../../gateway/northbound/sparkplug/payload.ts";

export interface Said {
  readonly type: string;
  readonly topic: string;
  readonly device: string | undefined;
  readonly payload: Payload;
  readonly bytes: Uint8Array;
  readonly qos: number;
  readonly retain: boolean;
}

/** One connection, with everything that came over it in order. */
export class Visit {
  readonly packets: Packet[] = [];
  readonly socket: Socket;
  closed = false;

  constructor(socket: Socket) {
    this.socket = socket;
  }
  get connect(): IConnectPacket {
    const [first] = this.packets;
    if (first?.cmd !== "connect") throw new Error("no CONNECT");
    return first;
  }
  get subscribe(): ISubscribePacket {
    const found = this.packets.find((one) => one.cmd === "subscribe");
    if (found === undefined) throw new Error("no SUBSCRIBE");
    return found;
  }
  get disconnect(): IDisconnectPacket | undefined {
    return this.packets.find((one) => one.cmd === "disconnect");
  }
  get will(): { readonly topic: string; readonly payload: Payload; readonly qos: number; readonly retain: boolean } {
    const { will } = this.connect;
    if (will === undefined) throw new Error("no will");
    return {
      ...will,
      topic: will.topic,
      payload: decodePayload(Buffer.from(will.payload)),
      qos: will.qos ?? 0,
      retain: will.retain ?? false,
    };
  }
  get said(): Said[] {
    return this.packets.flatMap((one) => (one.cmd === "publish" ? [saidOf(one)] : []));
  }
  get types(): string[] {
    return this.said.map(({ type, device }) => (device === undefined ? type : `${type} ${device}`));
  }
  write(packet: Packet): void {
    if (!this.socket.destroyed)
      this.socket.write(generate(packet, { protocolVersion: this.connect.protocolVersion ?? 4 }));
  }
}

/** An MQTT server for one edge node, that answers as it is told and plays the host. */
export class NodeServer {
  readonly visits: Visit[] = [];
  connack: number | ((connect: IConnectPacket) => number) = 0;
  properties: Readonly<Record<string, number>> = {};
  /** Of each subscription. */
  suback = 0;
  /** Answers PINGREQ and PUBLISH of QoS 1. */
  answers = true;
  /** No CONNACK. */
  silent = false;
  /** Of a PUBLISH of QoS 1. */
  puback = 0;
  /** What STATE is retained; sent after the SUBACK. */
  state: { readonly online: boolean; readonly timestamp: number } | undefined;
  readonly #server: Server = createServer((socket) => this.#accept(socket));
  readonly #sockets = new Set<Socket>();

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", () => resolve()));
    return this;
  }
  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    return `mqtt://127.0.0.1:${address.port}`;
  }
  get last(): Visit {
    const last = this.visits.at(-1);
    if (last === undefined) throw new Error("nobody came");
    return last;
  }
  get said(): Said[] {
    return this.visits.flatMap(({ said }) => said);
  }

  command(topic: string, metrics: readonly Metric[], timestamp?: number, retain = false): void {
    const payload = Buffer.from(encodePayload({ metrics, ...(timestamp === undefined ? {} : { timestamp }) }));
    this.last.write({ cmd: "publish", topic, payload, qos: 0, retain, dup: false });
  }
  says(state: { readonly online: boolean; readonly timestamp: number }, host = "scada"): void {
    this.#state(this.last, host, state);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #state(visit: Visit, host: string, state: object): void {
    const payload = Buffer.from(JSON.stringify(state));
    visit.write({
      cmd: "publish",
      topic: `spBv1.0/STATE/${host}`,
      payload,
      qos: 1,
      messageId: 9,
      retain: true,
      dup: false,
    });
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    const visit = new Visit(socket);
    const read = parser();
    socket.on("error", () => {});
    socket.on("close", () => {
      visit.closed = true;
      this.#sockets.delete(socket);
    });
    socket.on("data", (chunk: Buffer) => read.parse(chunk));
    read.on("error", () => socket.destroy());
    read.on("packet", (packet: Packet) => {
      visit.packets.push(packet);
      this.#answer(visit, packet);
    });
  }

  #answer(visit: Visit, packet: Packet): void {
    if (packet.cmd === "connect") this.#welcome(visit, packet);
    else if (packet.cmd === "subscribe") {
      const { messageId, subscriptions } = packet;
      visit.write({
        cmd: "suback",
        messageId: messageId ?? 0,
        granted: subscriptions.map(({ qos }) => this.suback || qos),
      });
      if (this.state !== undefined) this.#state(visit, "scada", this.state);
    } else if (packet.cmd === "pingreq" && this.answers) visit.write({ cmd: "pingresp" });
    else if (packet.cmd === "publish" && packet.qos === 1 && this.answers) this.#puback(visit, packet);
  }

  #puback(visit: Visit, { messageId = 0 }: IPublishPacket): void {
    visit.write({ cmd: "puback", messageId, ...(this.puback === 0 ? {} : { reasonCode: this.puback }) });
  }

  #welcome(visit: Visit, packet: IConnectPacket): void {
    this.visits.push(visit);
    if (this.silent) return;
    const code = typeof this.connack === "number" ? this.connack : this.connack(packet);
    const five = packet.protocolVersion === 5;
    visit.write({
      cmd: "connack",
      sessionPresent: false,
      ...(five ? { reasonCode: code, properties: this.properties } : { returnCode: code }),
    });
    if (code !== 0) visit.socket.end();
  }
}

function saidOf({ topic, payload, qos, retain }: IPublishPacket): Said {
  const [, , type = "", , device] = topic.split("/");
  const bytes = Buffer.from(payload);
  return { type, topic, device, payload: decodePayload(bytes), bytes, qos, retain };
}
