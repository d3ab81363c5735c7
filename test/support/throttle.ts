import { connect, createServer, type Server, type Socket } from "node:net";

export interface ThrottleOptions {
  /** Where connections go on to, on loopback. */
  readonly port: number;
  /** Of each direction of all connections together. */
  readonly bitsPerSecond: number;
  /** From one end to the other and back, without what queues. */
  readonly roundTripMs: number;
  /** What waits for the link in each direction before its sender is held back. */
  readonly queueBytes: number;
}

/** What the link takes at once: a frame of Ethernet. */
const FRAME_BYTES = 1460;

interface Frame {
  readonly bytes: Buffer;
  readonly to: Socket;
  /** When the link is done with it, and when it is there. */
  readonly leavesMs: number;
  readonly arrivesMs: number;
}

/** One direction of the link: frames one after the other at its rate, each so much later at the other end. */
class Direction {
  readonly #options: ThrottleOptions;
  readonly #frames: Frame[] = [];
  readonly #held = new Set<Socket>();
  /** Frames that left and have not arrived. */
  #left = 0;
  #queuedBytes = 0;
  #freeMs = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Greatest queue that was seen. */
  mostQueued = 0;
  /** Bytes that left. */
  carried = 0;

  constructor(options: ThrottleOptions) {
    this.#options = options;
  }

  carry(from: Socket, to: Socket, data: Buffer): void {
    const { bitsPerSecond, roundTripMs, queueBytes } = this.#options;
    const now = performance.now();
    for (let at = 0; at < data.length; at += FRAME_BYTES) {
      const bytes = data.subarray(at, at + FRAME_BYTES);
      this.#freeMs = Math.max(now, this.#freeMs) + (bytes.length * 8000) / bitsPerSecond;
      this.#frames.push({ bytes, to, leavesMs: this.#freeMs, arrivesMs: this.#freeMs + roundTripMs / 2 });
      this.#queuedBytes += bytes.length;
    }
    this.mostQueued = Math.max(this.mostQueued, this.#queuedBytes);
    if (this.#queuedBytes > queueBytes) {
      from.pause();
      this.#held.add(from);
    }
    this.#arm();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#frames.length = 0;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const arrives = this.#frames[0]?.arrivesMs ?? Number.POSITIVE_INFINITY;
    const leaves = this.#frames[this.#left]?.leavesMs ?? Number.POSITIVE_INFINITY;
    const next = Math.min(arrives, leaves);
    if (Number.isFinite(next)) this.#timer = setTimeout(() => this.#move(), Math.max(0, next - performance.now()));
  }

  #move(): void {
    const now = performance.now();
    for (let frame = this.#frames[this.#left]; frame && frame.leavesMs <= now; frame = this.#frames[this.#left]) {
      this.#queuedBytes -= frame.bytes.length;
      this.carried += frame.bytes.length;
      this.#left++;
    }
    if (this.#queuedBytes <= this.#options.queueBytes) {
      for (const socket of this.#held) socket.resume();
      this.#held.clear();
    }
    let arrived = 0;
    for (let frame = this.#frames[arrived]; frame && frame.arrivesMs <= now; frame = this.#frames[++arrived]) {
      if (!frame.to.destroyed) frame.to.write(frame.bytes);
    }
    this.#frames.splice(0, arrived);
    this.#left = Math.max(0, this.#left - arrived);
    this.#arm();
  }
}

/** A slow and long way to a server on loopback: a rate, a round trip and a small queue, on plain sockets. */
export class Throttle {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #up: Direction;
  readonly #down: Direction;

  constructor(options: ThrottleOptions) {
    this.#up = new Direction(options);
    this.#down = new Direction(options);
    this.#server = createServer((client) => {
      const server = connect(options.port, "127.0.0.1");
      this.#join(client, server, this.#up);
      this.#join(server, client, this.#down);
    });
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(0, "127.0.0.1", () => resolve());
    });
    return this;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    return address.port;
  }
  /** Greatest queue of bytes towards the server. */
  get mostQueued(): number {
    return this.#up.mostQueued;
  }

  /** Bytes that went through towards the server. */
  get carried(): number {
    return this.#up.carried;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    this.#up.stop();
    this.#down.stop();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #join(from: Socket, to: Socket, direction: Direction): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on("data", (data: Buffer) => direction.carry(from, to, data));
    from.on("error", () => {});
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}
