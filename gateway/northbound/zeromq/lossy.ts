import type { Publisher, Push } from "zeromq";
import { messageOf, NotConnectedError } from "../../core/errors.ts";
import type { Outgoing, Verdict } from "../../core/uplink.ts";
import { framesOf } from "./frames.ts";
import type { Line } from "./line.ts";
import type { Sending } from "./sending.ts";

/**
 * PUSH and PUB: a message counts as delivered when the library has taken it. What it, the network and the receiver have not read is
 * lost with the connection; a SUB that is slow loses it silently.
 */
export class LossySending implements Sending {
  readonly #socket: Push | Publisher;
  readonly #line: Line;
  readonly #maxMessage: number;

  constructor(socket: Push | Publisher, line: Line, maxMessage: number) {
    this.#socket = socket;
    this.#line = line;
    this.#maxMessage = maxMessage;
    // So that an end of waiting is looked at now and then.
    socket.sendTimeout = 500;
  }

  async send(
    batch: readonly Outgoing[],
    verdict: (index: number, v: Verdict) => void,
    signal: AbortSignal,
  ): Promise<void> {
    for (const [index, message] of batch.entries()) {
      const fault = await this.#sent(message, signal);
      if (fault === undefined) verdict(index, this.#verdictOf(message));
      else {
        for (let rest = index; rest < batch.length; rest++)
          verdict(rest, { kind: "retry", reason: messageOf(fault), unanswered: "unsent" });
        throw fault;
      }
    }
  }

  ended(): void {}

  #tooLarge({ payload }: Outgoing): boolean {
    return payload.byteLength > this.#maxMessage;
  }

  #verdictOf(message: Outgoing): Verdict {
    if (!this.#tooLarge(message)) return { kind: "ack" };
    const bytes = message.payload.byteLength;
    return { kind: "reject", reason: `${bytes} bytes are more than maxMessage (${this.#maxMessage})` };
  }

  /** Why it was not; waits while the receiver does not read. */
  async #sent(message: Outgoing, signal: AbortSignal): Promise<unknown> {
    for (;;) {
      if (signal.aborted) return signal.reason;
      if (this.#line.lost) return new NotConnectedError(this.#line.lost.message);
      if (this.#tooLarge(message)) return undefined;
      try {
        await this.#socket.send(framesOf(message));
        return undefined;
      } catch (error) {
        if (codeOf(error) !== "EAGAIN") return new NotConnectedError(messageOf(error), { cause: error });
      }
    }
  }
}

function codeOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
}
