import { once } from "node:events";
import { connect as connectSocket, type Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { generate, type Packet, parser } from "mqtt-packet";
import { vi } from "vitest";
import { LocalBroker } from "../../gateway/broker/local-broker.ts";
import type { Auditor } from "../../gateway/core/audit.ts";
import type { Clock } from "../../gateway/core/clock.ts";
import type { Logger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { brokerOptions, captureOptions } from "../../gateway/core/options/broker.ts";
import type { Queue, Refused } from "../../gateway/core/queue.ts";
import type { NewRecord, StreamName } from "../../gateway/core/record.ts";

export const clock: Clock = {
  bootId: "test",
  now: () => ({ wallMs: Date.now(), monoMs: performance.now(), clock: "synced" }),
};

export interface LogLine {
  readonly level: string;
  readonly fields: object;
  readonly message: string;
}

export function recordingLogger(lines: LogLine[]): Logger {
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields, message });
  };
  const logger: Logger = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: () => logger,
  };
  return logger;
}

interface Append {
  readonly stream: StreamName;
  readonly records: readonly NewRecord[];
  resolve(): void;
  reject(error: Error): void;
}

/** An append-only queue whose every answer the test gives, or that takes all (`auto`) or none (`refusal`). */
export class FakeQueue implements Pick<Queue, "append" | "refused"> {
  auto = true;
  refusal: Error | undefined;
  readonly calls: Append[] = [];
  readonly told: { stream: StreamName; topic: string }[] = [];
  readonly stored: { stream: StreamName; record: NewRecord }[] = [];

  append(stream: StreamName, records: readonly NewRecord[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const call: Append = {
        stream,
        records,
        resolve: () => {
          for (const record of records) this.stored.push({ stream, record });
          resolve();
        },
        reject,
      };
      this.calls.push(call);
      if (this.refusal) reject(this.refusal);
      else if (this.auto) call.resolve();
    });
  }

  refused(stream: StreamName, { topic }: Refused): void {
    this.told.push({ stream, topic });
  }

  get texts(): string[] {
    return this.stored.map(({ record }) => textOf(record));
  }
}

export function textOf(record: NewRecord): string {
  return record.content.kind === "message" ? Buffer.from(record.content.payload).toString() : "not a message";
}

export interface Rig {
  readonly broker: LocalBroker;
  readonly queue: FakeQueue;
  readonly log: LogLine[];
  readonly port: number;
  readonly url: string;
}

const stops: (() => Promise<unknown>)[] = [];
export function cleanUp(stop: () => Promise<unknown>): void {
  stops.push(stop);
}
export async function cleanUpAll(): Promise<void> {
  for (const stop of stops.splice(0).reverse()) await stop();
}

export function makeBroker(
  options: object = {},
  capture: unknown = [{ topics: ["plant/#"] }],
  folder?: string,
  audit?: Auditor,
) {
  const queue = new FakeQueue();
  const log: LogLine[] = [];
  const broker = new LocalBroker({
    options: brokerOptions.parse({ listeners: [{ port: 0 }], ...options }),
    capture: captureOptions.parse(capture),
    queue,
    ...(folder === undefined ? {} : { folder }),
    ...(audit && { audit }),
    gatewayId: "gw",
    clock,
    log: recordingLogger(log),
    metrics: noMetrics,
  });
  return { broker, queue, log };
}

export async function startBroker(options: object = {}, capture?: unknown, folder?: string): Promise<Rig> {
  const made = makeBroker(options, capture, folder);
  await made.broker.start();
  cleanUp(() => made.broker.stop());
  const port = made.broker.addresses()[0]?.port ?? 0;
  return { ...made, port, url: `mqtt://127.0.0.1:${port}` };
}

/** A client that sends what a test wants and keeps what it got. */
export class RawClient {
  readonly socket: Socket;
  readonly packets: Packet[] = [];
  closed = false;

  constructor(port: number) {
    this.socket = connectSocket(port, "127.0.0.1");
    const parse = parser();
    parse.on("packet", (packet) => this.packets.push(packet));
    this.socket.on("data", (chunk) => parse.parse(chunk));
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.closed = true;
    });
    cleanUp(() => this.end());
  }

  send(...packets: Packet[]): void {
    this.socket.write(Buffer.concat(packets.map((packet) => generate(packet))));
  }
  sendBytes(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }
  of(cmd: Packet["cmd"]): Packet[] {
    return this.packets.filter((packet) => packet.cmd === cmd);
  }
  /** Packet identifiers of what came as `cmd`, in order. */
  ids(cmd: Packet["cmd"]): (number | undefined)[] {
    return this.of(cmd).map((packet) => packet.messageId);
  }
  async until(cmd: Packet["cmd"], count = 1): Promise<Packet[]> {
    await vi.waitFor(() => {
      if (this.of(cmd).length < count)
        throw new Error(`${this.of(cmd).length} of ${count} ${cmd}, closed ${this.closed}`);
    }, WAIT);
    return this.of(cmd);
  }
  async untilClosed(): Promise<void> {
    await vi.waitFor(() => {
      if (!this.closed) throw new Error("still open");
    }, WAIT);
  }
  async end(): Promise<void> {
    if (this.closed) return;
    const closed = once(this.socket, "close");
    this.socket.destroy();
    await closed;
  }
}

export const WAIT = { timeout: 8000, interval: 5 };

export interface ConnectWants {
  readonly clientId?: string;
  readonly clean?: boolean;
  readonly keepalive?: number;
  readonly will?: { topic: string; payload: Buffer; qos: 0 | 1 | 2; retain: boolean };
}

export function connectPacket(wants: ConnectWants = {}): Packet {
  const { clientId = "client", clean = true, keepalive = 60, will } = wants;
  const base = { cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clientId, clean, keepalive } as const;
  return will ? { ...base, will } : base;
}

export async function connected(port: number, wants: ConnectWants = {}): Promise<RawClient> {
  const client = new RawClient(port);
  client.send(connectPacket(wants));
  await client.until("connack");
  return client;
}

export function publishPacket(topic: string, payload: string, qos: 0 | 1 | 2 = 1, messageId = 1, dup = false): Packet {
  const base = { cmd: "publish", topic, payload, retain: false, dup } as const;
  return qos === 0 ? { ...base, qos } : { ...base, qos, messageId };
}

export async function waitFor(condition: () => boolean, what: string): Promise<void> {
  await vi.waitFor(() => {
    if (!condition()) throw new Error(`not yet: ${what}`);
  }, WAIT);
}

/** Resolves when everything that was already under way on both sides had its turn: a ping came back. */
export async function roundTrip(client: RawClient): Promise<void> {
  const pongs = client.of("pingresp").length;
  client.send({ cmd: "pingreq" });
  await client.until("pingresp", pongs + 1);
}
