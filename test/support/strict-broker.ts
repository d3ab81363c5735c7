import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions, Server as TlsServer } from "node:tls";
import {
  generate,
  type IConnectPacket,
  type IPublishPacket,
  type ISubscribePacket,
  type Packet,
  parser,
} from "mqtt-packet";
import { LimitWatch, type ServerLimits } from "./broker-limits.ts";

export type ConnackProperties = Readonly<Record<string, number | string | boolean>>;

/** What the server does about one PUBLISH. */
export type PubackPlan =
  | { readonly ack: true; readonly code?: number; readonly afterMs?: number }
  /** Never answers. */
  | { readonly ack: false };

export interface Script {
  /** CONNACK reason code (5) or return code (3.1.1); 0 when absent. "close": no answer; "silent": neither. */
  connack?: number | "close" | "silent" | ((connect: IConnectPacket) => number | "close" | "silent");
  properties?: ConnackProperties;
  /** Only this version is spoken: another one is refused as a server of that version does. */
  only?: 4 | 5;
  puback?: (publish: IPublishPacket, session: Session) => PubackPlan;
  /** Answers in reverse, once so many are waiting. */
  reverse?: number;
  /** No PINGRESP. */
  deaf?: boolean;
  /** What a cloud allows; whatever is beyond it counts as a violation. */
  limits?: ServerLimits;
  /** Called with each PUBLISH, which then is not kept. */
  drain?: (packet: IPublishPacket, bytes: number) => void;
  /** Answers SUBSCRIBE with these codes; grants everything when absent. */
  suback?: readonly number[];
  /** Called after CONNACK. */
  connected?: (session: Session) => void;
}

/** One connection of a client, as the server sees it. */
export class Session {
  readonly publishes: IPublishPacket[] = [];
  /** When each arrived, in milliseconds of the process. */
  connect: IConnectPacket | undefined;
  disconnect: { readonly reasonCode: number } | undefined;
  subscribe: ISubscribePacket | undefined;
  /** Identifiers of our messages that the client acknowledged, in its order. */
  readonly pubacks: number[] = [];
  pings = 0;
  closed = false;
  readonly socket: Socket;
  readonly #unacked = new Map<number, IPublishPacket>();

  constructor(socket: Socket) {
    this.socket = socket;
  }
  get version(): 4 | 5 {
    return this.connect?.protocolVersion === 5 ? 5 : 4;
  }
  get unacked(): Map<number, IPublishPacket> {
    return this.#unacked;
  }
  write(packet: Packet): void {
    if (!this.socket.destroyed) this.socket.write(generate(packet, { protocolVersion: this.version }));
  }
  puback(messageId: number, reasonCode = 0): void {
    this.#unacked.delete(messageId);
    this.write({ cmd: "puback", messageId, ...(this.version === 5 ? { reasonCode } : {}) });
  }
  /** DISCONNECT with a reason, then the end. */
  kick(reasonCode: number): void {
    this.write({ cmd: "disconnect", reasonCode });
    this.socket.end();
  }
}

/**
 * An MQTT 3.1.1 and 5 server for tests that does what a script says, and remembers what a client must not do: sending
 * more than Receive Maximum, packets over Maximum Packet Size, an identifier that is in flight, DUP on a new packet.
 */
export class StrictBroker {
  readonly sessions: Session[] = [];
  readonly violations: string[] = [];
  script: Script;
  maxUnacked = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #watch = new LimitWatch();
  readonly #secure: boolean;
  /** Bytes that came over all connections, after TLS. */
  received = 0;
  /** PUBACKs that refused a message. */
  refusals = 0;

  /** @param tls serves TLS instead of plain TCP. */
  constructor(script: Script = {}, tls?: TlsOptions) {
    this.script = script;
    this.#secure = tls !== undefined;
    if (tls === undefined) this.#server = createServer((socket) => this.#accept(socket));
    else {
      const server = createTlsServer(tls, (socket) => this.#accept(socket));
      server.on("tlsClientError", () => {});
      server.on("connection", (socket: Socket) => {
        this.#sockets.add(socket);
        socket.on("close", () => this.#sockets.delete(socket));
      });
      this.#server = server;
    }
  }

  /** Other certificates for connections to come. */
  renew(tls: TlsOptions): void {
    if (this.#server instanceof TlsServer) this.#server.setSecureContext(tls);
  }

  async listen(port = 0): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", () => resolve());
    });
    return this;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    return address.port;
  }
  get url(): string {
    return `${this.#secure ? "mqtts://localhost" : "mqtt://127.0.0.1"}:${this.port}`;
  }
  get session(): Session {
    const last = this.sessions.at(-1);
    if (last === undefined) throw new Error("nobody connected");
    return last;
  }
  /** Everything published over all connections, in order of arrival. */
  get publishes(): IPublishPacket[] {
    return this.sessions.flatMap((session) => session.publishes);
  }
  /** Publishes that are neither status, gap nor clock. */
  get records(): IPublishPacket[] {
    return this.publishes.filter(({ topic }) => !/\/(status|gap|clock)$/.test(topic));
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    const session = new Session(socket);
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => {
      session.closed = true;
      this.#sockets.delete(socket);
    });
    let reader = parser({ protocolVersion: 4 });
    const listen = () => {
      reader.on("packet", (packet) => this.#onPacket(session, packet));
      reader.on("error", (error: unknown) => this.violations.push(`malformed: ${String(error)}`));
    };
    listen();
    socket.on("data", (chunk: Buffer) => {
      this.received += chunk.length;
      // The version is in the first packet; the parser has to be told it for those that follow.
      if (session.connect === undefined && chunk[8] === 5) {
        reader = parser({ protocolVersion: 5 });
        listen();
      }
      reader.parse(chunk);
    });
  }

  #onPacket(session: Session, packet: Packet): void {
    if (packet.cmd === "connect") this.#onConnect(session, packet);
    else if (packet.cmd === "publish") this.#onPublish(session, packet);
    else if (packet.cmd === "pingreq") {
      session.pings++;
      if (!this.script.deaf) session.write({ cmd: "pingresp" });
    } else if (packet.cmd === "disconnect") {
      session.disconnect = { reasonCode: packet.reasonCode ?? 0 };
      session.socket.end();
    } else if (packet.cmd === "subscribe") {
      session.subscribe = packet;
      const granted = this.script.suback ?? packet.subscriptions.map(({ qos }) => qos);
      session.write({ cmd: "suback", messageId: packet.messageId ?? 0, granted: [...granted] });
    } else if (packet.cmd === "puback") session.pubacks.push(packet.messageId ?? 0);
    else this.violations.push(`unexpected ${packet.cmd}`);
  }

  #onConnect(session: Session, packet: IConnectPacket): void {
    if (session.connect) this.violations.push("second CONNECT");
    session.connect = packet;
    this.sessions.push(session);
    if (this.script.limits) this.violations.push(...this.#watch.connect(this.script.limits, packet, performance.now()));
    const { connack = 0, properties, only, connected } = this.script;
    if (only !== undefined && session.version !== only) {
      const refusal = only === 4 ? Buffer.from([0x20, 2, 0, 1]) : Buffer.from([0x20, 3, 0, 0x84, 0]);
      session.socket.end(refusal);
      return;
    }
    const code = typeof connack === "function" ? connack(packet) : connack;
    if (code === "silent") return;
    if (code === "close") {
      session.socket.end();
      return;
    }
    if (session.version === 5) {
      session.write({ cmd: "connack", sessionPresent: false, reasonCode: code, ...(properties ? { properties } : {}) });
    } else session.write({ cmd: "connack", sessionPresent: false, returnCode: code });
    if (code !== 0) session.socket.end();
    else connected?.(session);
  }

  #judge(session: Session, packet: IPublishPacket): void {
    const { properties = {}, limits } = this.script;
    const id = packet.messageId ?? 0;
    if (packet.qos !== 1) this.violations.push(`QoS ${packet.qos}`);
    if (packet.dup) this.violations.push("DUP on a new connection");
    if (session.unacked.has(id)) this.violations.push(`identifier ${id} is in flight`);
    session.unacked.set(id, packet);
    this.maxUnacked = Math.max(this.maxUnacked, session.unacked.size);
    const { receiveMaximum, maximumPacketSize } = properties;
    if (typeof receiveMaximum === "number" && session.unacked.size > receiveMaximum) {
      this.violations.push(`${session.unacked.size} in flight`);
    }
    const size = sizeOf(packet);
    if (typeof maximumPacketSize === "number" && size > maximumPacketSize) this.violations.push(`${size} bytes`);
    if (limits)
      this.violations.push(...this.#watch.publish(limits, packet, size, session.unacked.size, performance.now()));
    if (packet.retain && properties["retainAvailable"] === false) this.violations.push("retained");
  }

  #onPublish(session: Session, packet: IPublishPacket): void {
    const { drain } = this.script;
    if (drain === undefined) session.publishes.push(packet);
    else drain(packet, sizeOf(packet));
    const { puback, reverse } = this.script;
    const id = packet.messageId ?? 0;
    this.#judge(session, packet);
    if (reverse !== undefined) {
      if (session.unacked.size >= reverse)
        for (const waiting of [...session.unacked.keys()].reverse()) session.puback(waiting);
      return;
    }
    const plan = puback?.(packet, session) ?? { ack: true };
    if (!plan.ack) return;
    if ((plan.code ?? 0) >= 0x80) this.refusals++;
    if (plan.afterMs === undefined) session.puback(id, plan.code ?? 0);
    else setTimeout(() => session.puback(id, plan.code ?? 0), plan.afterMs);
  }
}

/** Bytes of the whole packet. */
function sizeOf({ length = 0 }: Packet): number {
  return length + (length < 128 ? 2 : length < 16_384 ? 3 : length < 2_097_152 ? 4 : 5);
}
