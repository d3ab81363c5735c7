import { Router } from "zeromq";

/** A receiver of the ZeroMQ uplink: a test decides what becomes of each message. */

export interface Received {
  readonly topic: string;
  readonly body: string;
  readonly properties: Readonly<Record<string, string>>;
}

/** Frames of the answer after the number; nothing at all where there are none. */
export type Fate = readonly string[] | "hold";

export class ZmqRouter {
  fate: (received: Received) => Fate = () => ["A"];
  readonly received: Received[] = [];
  readonly #socket: Router;
  #peer: Buffer | undefined;

  constructor(options: ConstructorParameters<typeof Router>[0] = {}) {
    this.#socket = new Router({ linger: 0, ...options });
  }

  get url(): string {
    return this.#socket.lastEndpoint ?? "";
  }

  async listen(url = "tcp://127.0.0.1:*"): Promise<this> {
    await this.#socket.bind(url);
    // A test may close it in the midst of an answer.
    this.#read().catch(() => {});
    return this;
  }

  /** Something to whoever sent last. */
  async say(...frames: string[]): Promise<void> {
    if (this.#peer) await this.#socket.send([this.#peer, ...frames]);
  }

  close(): void {
    if (!this.#socket.closed) this.#socket.close();
  }

  async #read(): Promise<void> {
    for await (const [peer, number, topic, body, properties] of this.#socket) {
      if (!peer || !number || !topic || !body || !properties) throw new Error("too few frames");
      this.#peer = peer;
      const received = { topic: `${topic}`, body: `${body}`, properties: JSON.parse(`${properties}`) };
      this.received.push(received);
      const fate = this.fate(received);
      if (fate !== "hold") await this.#socket.send([peer, number, ...fate]);
    }
  }
}
