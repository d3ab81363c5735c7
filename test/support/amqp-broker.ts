import { createServer, type Server, type Socket } from "node:net";

/**
 * The server's side of AMQP 0-9-1 as far as a publisher meets it, written from the specification (amqp0-9-1.pdf, 2.3.5 and
 * 4.2), so that a test decides what becomes of each message.
 */

export interface Publish {
  readonly exchange: string;
  readonly routingKey: string;
  readonly mandatory: boolean;
  /** Content header as it came: class, weight, size, flags, properties. */
  readonly header: Buffer;
  readonly body: Buffer;
  readonly tag: number;
}

export type Fate = "ack" | "nack" | "return" | "hold" | { readonly close: number; readonly text: string };

export interface Script {
  readonly fate?: (publish: Publish) => Fate;
  /** Says nothing at all after the connection is made. */
  readonly mute?: boolean;
  readonly password?: string;
  /** Exchanges that are there. */
  readonly exchanges?: readonly string[];
  /** Queues that are there. */
  readonly queues?: readonly string[];
}

const END = 0xce;
const MOST_FRAME = 100_000;
const [METHOD, HEADER, BODY] = [1, 2, 3];

const short = (value: number) => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
};
const long = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const longLong = (value: number) => Buffer.concat([long(0), long(value)]);
const shortText = (text: string) => Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)]);
const longText = (text: string) => Buffer.concat([long(Buffer.byteLength(text)), Buffer.from(text)]);

/** Reads arguments one after the other. */
class Reader {
  #at = 0;
  readonly #bytes: Buffer;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  byte(): number {
    return this.#take(1).readUInt8();
  }
  short(): number {
    return this.#take(2).readUInt16BE();
  }
  long(): number {
    return this.#take(4).readUInt32BE();
  }
  shortText(): string {
    return this.#take(this.byte()).toString();
  }
  longText(): string {
    return this.#take(this.long()).toString("latin1");
  }
  #take(length: number): Buffer {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

export class AmqpBroker {
  readonly publishes: Publish[] = [];
  /** Names of exchanges and queues that were declared, and bindings. */
  readonly declared: string[] = [];
  /** What consumers asked for and answered: `qos 3`, `consume plans`, `ack 1`, `reject 2 requeue`. */
  readonly consumed: string[] = [];
  script: Script;
  readonly #server: Server;
  readonly #sockets = new Set<Session>();

  constructor(script: Script = {}) {
    this.script = script;
    this.#server = createServer((socket) => {
      const session = new Session(this, socket);
      this.#sockets.add(session);
      socket.on("close", () => this.#sockets.delete(session));
    });
  }

  async listen(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
    return this;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    return address.port;
  }
  get url(): string {
    return `amqp://127.0.0.1:${this.port}`;
  }

  cut(): void {
    for (const { socket } of this.#sockets) socket.resetAndDestroy();
  }

  blocked(reason: string): void {
    for (const session of this.#sockets) session.method(0, 10, 60, shortText(reason));
  }
  unblocked(): void {
    for (const session of this.#sockets) session.method(0, 10, 61);
  }
  /** Gives every consumer of a queue a message. */
  deliver(queue: string, routingKey: string, body: Buffer, options: { replyTo?: string; correlationId?: string } = {}) {
    for (const session of this.#sockets) session.deliver(queue, routingKey, body, options);
  }
  /** Takes a queue away under its consumers. */
  removeQueue(queue: string): void {
    for (const session of this.#sockets) session.cancel(queue);
  }
  /** Confirms what was held. */
  release(publish: Publish): void {
    for (const session of this.#sockets) session.settle(publish, "ack");
  }

  async close(): Promise<void> {
    for (const { socket } of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

class Session {
  readonly socket: Socket;
  readonly #broker: AmqpBroker;
  #received = Buffer.alloc(0);
  #greeted = false;
  #tag = 0;
  #publish: { exchange: string; routingKey: string; mandatory: boolean; header: Buffer; parts: Buffer[] } | undefined;
  #size = 0;
  /** By queue. */
  readonly #consumers = new Map<string, { channel: number; tag: string }>();
  #delivered = 0;

  constructor(broker: AmqpBroker, socket: Socket) {
    this.#broker = broker;
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#take();
    });
  }

  method(channel: number, classId: number, methodId: number, ...args: readonly Buffer[]): void {
    this.#frame(METHOD, channel, Buffer.concat([short(classId), short(methodId), ...args]));
  }

  deliver(
    queue: string,
    routingKey: string,
    body: Buffer,
    options: { replyTo?: string; correlationId?: string },
  ): void {
    const consumer = this.#consumers.get(queue);
    if (!consumer) return;
    const { channel, tag } = consumer;
    const number = longLong(++this.#delivered);
    this.method(channel, 60, 60, shortText(tag), number, Buffer.from([0]), shortText(""), shortText(routingKey));
    const { replyTo, correlationId } = options;
    const flags = (correlationId === undefined ? 0 : 1 << 10) | (replyTo === undefined ? 0 : 1 << 9);
    const given = [correlationId, replyTo].flatMap((text) => (text === undefined ? [] : [shortText(text)]));
    this.#frame(HEADER, channel, Buffer.concat([short(60), short(0), longLong(body.length), short(flags), ...given]));
    for (let at = 0; at < body.length; at += MOST_FRAME) this.#frame(BODY, channel, body.subarray(at, at + MOST_FRAME));
  }

  cancel(queue: string): void {
    const consumer = this.#consumers.get(queue);
    this.#consumers.delete(queue);
    if (consumer) this.method(consumer.channel, 60, 30, shortText(consumer.tag), Buffer.from([1]));
  }

  settle(publish: Publish, fate: Fate): void {
    const { tag, exchange, routingKey, header, body } = publish;
    if (fate === "hold") return;
    if (fate === "ack") this.method(1, 60, 80, longLong(tag), Buffer.from([0]));
    else if (fate === "nack") this.method(1, 60, 120, longLong(tag), Buffer.from([0]));
    else if (fate === "return") {
      this.method(1, 60, 50, short(312), shortText("NO_ROUTE"), shortText(exchange), shortText(routingKey));
      this.#frame(HEADER, 1, header);
      if (body.length > 0) this.#frame(BODY, 1, body);
      this.settle(publish, "ack");
    } else this.method(1, 20, 40, short(fate.close), shortText(fate.text), short(60), short(40));
  }

  #frame(type: number, channel: number, payload: Buffer): void {
    this.socket.write(
      Buffer.concat([Buffer.from([type]), short(channel), long(payload.length), payload, Buffer.from([END])]),
    );
  }

  #take(): void {
    if (this.#broker.script.mute) return;
    if (!this.#greeted) {
      if (this.#received.length < 8) return;
      this.#received = this.#received.subarray(8);
      this.#greeted = true;
      this.method(0, 10, 10, Buffer.from([0, 9]), long(0), longText("PLAIN"), longText("en_US"));
    }
    while (this.#received.length >= 8) {
      const size = this.#received.readUInt32BE(3);
      if (this.#received.length < size + 8) return;
      const [type, channel] = [this.#received.readUInt8(0), this.#received.readUInt16BE(1)];
      const payload = this.#received.subarray(7, 7 + size);
      this.#received = this.#received.subarray(size + 8);
      if (type === METHOD) this.#method(channel, payload);
      else if (type === HEADER) this.#header(payload);
      else if (type === BODY) this.#body(payload);
    }
  }

  /** True when the method was one of a consumer. */
  #consume(name: string, channel: number, reader: Reader): boolean {
    const { script, consumed } = this.#broker;
    switch (name) {
      case "60.10":
        reader.long();
        consumed.push(`qos ${reader.short()}`);
        this.method(channel, 60, 11);
        return true;
      case "60.20": {
        reader.short();
        const [queue, tag] = [reader.shortText(), `tag-${channel}`];
        if (script.queues?.includes(queue) === false) {
          const text = `NOT_FOUND - no queue '${queue}' in vhost '/'`;
          this.method(channel, 20, 40, short(404), shortText(text), short(60), short(20));
          return true;
        }
        consumed.push(`consume ${queue}`);
        this.#consumers.set(queue, { channel, tag });
        this.method(channel, 60, 21, shortText(tag));
        return true;
      }
      case "60.80":
        reader.long();
        consumed.push(`ack ${reader.long()}`);
        return true;
      case "60.90":
        reader.long();
        consumed.push(`reject ${reader.long()}${(reader.byte() & 1) === 1 ? " requeue" : ""}`);
        return true;
    }
    return false;
  }

  #method(channel: number, payload: Buffer): void {
    const reader = new Reader(payload);
    const name = `${reader.short()}.${reader.short()}`;
    if (this.#consume(name, channel, reader)) return;
    const { script, declared } = this.#broker;
    switch (name) {
      case "10.11": {
        reader.longText();
        reader.shortText();
        const password = reader.longText().split("\0")[2];
        if (script.password !== undefined && script.password !== password) {
          this.method(0, 10, 50, short(403), shortText("ACCESS_REFUSED - Login was refused"), short(0), short(0));
          return;
        }
        this.method(0, 10, 30, short(100), long(131_072), short(60));
        return;
      }
      case "10.40":
        this.method(0, 10, 41, shortText(""));
        return;
      case "10.50":
        this.method(0, 10, 51);
        this.socket.end();
        return;
      case "20.10":
        this.method(channel, 20, 11, longText(""));
        return;
      case "20.40":
        this.method(channel, 20, 41);
        return;
      case "40.10": {
        reader.short();
        const [exchange, kind, bits] = [reader.shortText(), reader.shortText(), reader.byte()];
        if ((bits & 1) === 1 && script.exchanges !== undefined && !script.exchanges.includes(exchange)) {
          const text = `NOT_FOUND - no exchange '${exchange}' in vhost '/'`;
          this.method(channel, 20, 40, short(404), shortText(text), short(40), short(10));
          return;
        }
        if ((bits & 1) === 0) declared.push(`exchange ${exchange} ${kind}`);
        this.method(channel, 40, 11);
        return;
      }
      case "50.10": {
        reader.short();
        const queue = reader.shortText();
        declared.push(`queue ${queue}`);
        this.method(channel, 50, 11, shortText(queue), long(0), long(0));
        return;
      }
      case "50.20":
        reader.short();
        declared.push(`bind ${reader.shortText()} ${reader.shortText()} ${reader.shortText()}`);
        this.method(channel, 50, 21);
        return;
      case "85.10":
        this.method(channel, 85, 11);
        return;
      case "60.40": {
        reader.short();
        const [exchange, routingKey, bits] = [reader.shortText(), reader.shortText(), reader.byte()];
        this.#publish = { exchange, routingKey, mandatory: (bits & 1) === 1, header: Buffer.alloc(0), parts: [] };
        return;
      }
    }
  }

  #header(payload: Buffer): void {
    if (!this.#publish) return;
    this.#publish.header = Buffer.from(payload);
    this.#size = payload.readUInt32BE(8);
    if (this.#size === 0) this.#complete();
  }

  #body(payload: Buffer): void {
    this.#publish?.parts.push(Buffer.from(payload));
    this.#size -= payload.length;
    if (this.#size === 0) this.#complete();
  }

  #complete(): void {
    if (!this.#publish) return;
    const { parts, ...rest } = this.#publish;
    this.#publish = undefined;
    const publish = { ...rest, body: Buffer.concat(parts), tag: ++this.#tag };
    this.#broker.publishes.push(publish);
    this.settle(publish, this.#broker.script.fate?.(publish) ?? "ack");
  }
}
