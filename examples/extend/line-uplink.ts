import { connect as dial, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { z } from "zod";
import { NotConnectedError } from "../../gateway/core/errors.ts";
import type { Outgoing, Uplink, UplinkLimits, UplinkModule, Verdict } from "../../gateway/core/uplink.ts";

/** Lines of JSON over TCP. The receiver says `ready`, and answers each line with its number when it has it on its disk. */
const schema = z.strictObject({
  host: z.string().describe("Where the receiver listens."),
  port: z.number().int().min(1).max(65_535).describe("Its TCP port."),
});
const IN_FLIGHT = 100;
const LOST: Verdict = { kind: "retry", reason: "the connection was lost" };
type Tell = (verdict: Verdict) => void;

class LineUplink implements Uplink {
  readonly #at: z.infer<typeof schema>;
  readonly #open = new Map<string, Tell>();
  #socket: Socket | undefined;
  #ready = false;
  #closed = false;
  #sent = 0;
  #wake = () => {};

  constructor(at: z.infer<typeof schema>) {
    this.#at = at;
  }

  async connect(onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    signal.throwIfAborted();
    if (this.#closed) throw new NotConnectedError("closed");
    const socket = dial(this.#at);
    this.#socket = socket;
    const abort = () => socket.destroy();
    signal.addEventListener("abort", abort);
    try {
      await new Promise<void>((resolve, reject) => {
        socket.on("error", () => {});
        socket.once("close", () => {
          const wasReady = this.#ready && !this.#closed;
          this.#end();
          reject(signal.aborted ? signal.reason : new NotConnectedError("the receiver is not there"));
          if (wasReady) onLost(new NotConnectedError("the receiver hung up"));
        });
        const lines = createInterface({ input: socket }).on("line", (line) =>
          line === "ready" ? resolve() : this.#answer(line),
        );
        // It passes the socket's errors on; `close` follows them.
        lines.on("error", () => {});
      });
    } finally {
      signal.removeEventListener("abort", abort);
    }
    this.#ready = true;
    return { inFlight: IN_FLIGHT, properties: false };
  }

  async send(
    batch: readonly Outgoing[],
    verdict: (index: number, v: Verdict) => void,
    signal: AbortSignal,
  ): Promise<void> {
    for (const [index, { topic, payload }] of batch.entries()) {
      while (this.#ready && !signal.aborted && this.#open.size >= IN_FLIGHT) await this.#room(signal);
      if (!this.#ready || signal.aborted) {
        for (let rest = index; rest < batch.length; rest++) verdict(rest, LOST);
        throw signal.aborted ? signal.reason : new NotConnectedError("not connected");
      }
      const number = String(++this.#sent);
      this.#open.set(number, (v) => verdict(index, v));
      this.#socket?.write(`${JSON.stringify({ number, topic, body: Buffer.from(payload).toString("utf8") })}\n`);
    }
  }

  async close(): Promise<void> {
    await Promise.resolve();
    this.#closed = true;
    this.#socket?.destroy();
    this.#end();
  }

  #answer(number: string): void {
    const tell = this.#open.get(number);
    this.#open.delete(number);
    tell?.({ kind: "ack" });
    this.#wake();
  }

  #room(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  #end(): void {
    this.#ready = false;
    for (const tell of this.#open.values()) tell(LOST);
    this.#open.clear();
    this.#wake();
  }
}

export const lineModule: UplinkModule = {
  name: "line",
  schema,
  check: () => [],
  create: (options) => new LineUplink(schema.parse(options)),
};
