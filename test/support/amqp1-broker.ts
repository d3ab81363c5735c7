import { once } from "node:events";
import type { Server, Socket } from "node:net";
import rhea, { type Connection, type Delivery, type EventContext, type Sender } from "rhea";

/** The broker's side of AMQP 1.0, with the same library, so that a test decides what becomes of each message. */

export type Fate = "accept" | "release" | "hold" | { readonly reject: string; readonly text: string };

export interface Script {
  readonly fate?: (text: string, number: number) => Fate;
  readonly credit?: number;
  readonly password?: string;
  /** Addresses that are there. */
  readonly addresses?: readonly string[];
}

export interface Got {
  readonly text: string;
  readonly address: string;
  readonly durable: boolean;
  readonly properties: Readonly<Record<string, unknown>>;
  readonly delivery: Delivery;
}

export class Amqp1Broker {
  readonly got: Got[] = [];
  /** What became of what was given: `accepted 1`, `rejected 2`. */
  readonly answers: string[] = [];
  script: Script;
  #server: Server | undefined;
  readonly #connections = new Set<Connection>();
  readonly #sockets = new Set<Socket>();
  readonly #readers = new Map<string, Sender>();
  readonly #given = new Map<Delivery, number>();

  constructor(script: Script = {}) {
    this.script = script;
  }

  async listen(): Promise<this> {
    const container = rhea.create_container();
    if (this.script.password !== undefined) {
      container.sasl_server_mechanisms.enable_plain((_: string, password: string) => password === this.script.password);
    } else container.sasl_server_mechanisms.enable_anonymous();
    container.on("connection_open", ({ connection }: EventContext) => this.#connections.add(connection));
    container.on("disconnected", ({ connection }: EventContext) => this.#connections.delete(connection));
    // What ends a test's connection is no error of the test.
    container.on("connection_error", () => {});
    container.on("error", () => {});
    container.on("receiver_open", ({ receiver }: EventContext) => {
      const address = receiver?.target?.address ?? "";
      if (this.script.addresses?.includes(address) === false) {
        receiver?.close({ condition: "amqp:not-found", description: `address ${address} does not exist` });
        return;
      }
      receiver?.set_target({ address });
      receiver?.set_credit_window(0);
      receiver?.add_credit(this.script.credit ?? 1000);
    });
    container.on("sender_open", ({ sender }: EventContext) => {
      const address = sender?.source?.address ?? "";
      if (this.script.addresses?.includes(address) === false) {
        sender?.close({ condition: "amqp:not-found", description: `queue ${address} does not exist` });
        return;
      }
      if (sender) this.#readers.set(address, sender);
    });
    container.on("message", (context: EventContext) => this.#message(context));
    for (const name of ["accepted", "rejected", "released"]) {
      container.on(name, ({ delivery }: EventContext) => {
        if (delivery) this.answers.push(`${name} ${this.#given.get(delivery)}`);
      });
    }
    this.#server = container.listen({
      port: 0,
      host: "127.0.0.1",
      receiver_options: { credit_window: 0, autoaccept: false },
    });
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
    });
    await once(this.#server, "listening");
    return this;
  }

  get url(): string {
    const address = this.#server?.address();
    if (address === null || address === undefined || typeof address === "string") throw new Error("not listening");
    return `amqp://127.0.0.1:${address.port}`;
  }

  /** How many readers a queue has credit of. */
  credit(address: string): number {
    const sender = this.#readers.get(address);
    return sender === undefined ? 0 : Number(Reflect.get(sender, "credit"));
  }

  give(address: string, number: number, message: object): void {
    const sender = this.#readers.get(address);
    if (!sender) throw new Error(`nobody reads ${address}`);
    this.#given.set(sender.send({ body: "", ...message }), number);
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server?.close(() => resolve()));
  }

  #message({ message, delivery, receiver }: EventContext): void {
    if (!message || !delivery) return;
    const body: unknown = message.body;
    const content = typeof body === "object" && body !== null && "content" in body ? body.content : body;
    const text = Buffer.isBuffer(content) ? content.toString() : String(content);
    const { durable = false, application_properties: properties = {} } = message;
    this.got.push({ text, address: receiver?.target?.address ?? "", durable, properties, delivery });
    const fate = this.script.fate?.(text, this.got.length) ?? "accept";
    if (fate === "hold") return;
    if (fate === "accept") delivery.accept();
    else if (fate === "release") delivery.release();
    else delivery.reject({ condition: fate.reject, description: fate.text });
    receiver?.add_credit(1);
  }
}
