import type { Duplex } from "node:stream";
import { generate, type IConnackPacket } from "mqtt-packet";
import { ConfigError, NotConnectedError } from "../../core/errors.ts";
import { type DialContext, dial, isCertificateError } from "./dial.ts";
import { type Ask, handshake, NoConnackError } from "./handshake.ts";
import type { MqttOptions } from "./options.ts";
import { refusal } from "./session.ts";

export type NegotiateOptions = Pick<MqttOptions, "url" | "tls" | "preset"> & {
  readonly version: 4 | 5 | "auto";
};

/** A server's yes, and to what. The socket is paused, and the caller's to close. */
export interface Agreement {
  readonly socket: Duplex;
  readonly ask: Ask;
  readonly connack: IConnackPacket;
}

/**
 * Opens a session with one server: asks until it agrees, each time less: 3.1.1 for 5, a will that is not retained, a will of
 * QoS 0. TLS files that made a session are remembered as good, and so is the version. `renew` has the last word on each CONNECT before
 * it is sent.
 * @throws what `dial` and `handshake` throw. ConfigError when the server's answer is a person's to cure.
 */
export async function negotiate(
  options: NegotiateOptions,
  context: DialContext,
  first: Ask,
  signal: AbortSignal,
  renew?: (ask: Ask) => Promise<Ask>,
): Promise<Agreement> {
  const { memory, log } = context;
  const speaks = new Speaks(options, context.versions);
  let ask = speaks.first(first);
  for (;;) {
    const { socket, files } = await dial(options, context, signal);
    // Until the connection takes over, an error shows in the handshake or in what follows it.
    socket.on("error", () => {});
    if (renew !== undefined) ask = await renewed(ask, renew, socket);
    const answer = await answerTo(ask, socket, speaks, signal).catch((error: unknown) => {
      // Whatever ended it: files that worked before are the better choice next time.
      const { good } = memory;
      if (files !== undefined && good !== undefined && files.digest !== good.digest) memory.refuse(files.digest);
      speaks.failed(ask, error);
      throw error;
    });
    if ("connack" in answer) {
      memory.works(files);
      const again = speaks.agreed(ask);
      if (again === undefined) return { socket, ask, connack: answer.connack };
      log.debug({}, "the server closed on MQTT 5 and agreed to 3.1.1: making sure");
      // In order, so that no will is published.
      socket.end(generate({ cmd: "disconnect" }, { protocolVersion: 4 }));
      ask = again;
      continue;
    }
    ask = answer.next;
    log.debug({ version: ask.version, willRetain: ask.willRetain }, "asking the server for less");
  }
}

/**
 * Whether a server speaks MQTT 5. Some of 3.1.1 close on a CONNECT of 5 without a word; but so does any server that is just being
 * stopped or cut off, and the body of what is sent depends on it. So a server that once agreed to 5 is not asked for less because it
 * closed, and another one only when it closes on 5, agrees to 3.1.1, and closes on 5 again.
 */
class Speaks {
  readonly #url: string;
  readonly #auto: boolean;
  readonly #known: Map<string, 4 | 5>;
  #closed = 0;
  #asksAgain = false;

  constructor({ url, version }: NegotiateOptions, known = new Map<string, 4 | 5>()) {
    this.#url = url;
    this.#auto = version === "auto";
    this.#known = known;
  }

  first(ask: Ask): Ask {
    return this.#auto && this.#known.get(this.#url) === 4 ? { ...ask, version: 4 } : ask;
  }

  /** Whether a server that refuses this version in words is asked for less. */
  mayFallBack(ask: Ask): boolean {
    return this.#auto && ask.version === 5;
  }

  /** It closed instead of an answer: what to ask for instead, if anything. */
  closed(ask: Ask): Ask | undefined {
    if (!this.mayFallBack(ask) || this.#known.get(this.#url) === 5) return undefined;
    this.#closed += 1;
    return { ...ask, version: 4 };
  }

  /** What to ask for once more before it is believed; undefined where the session is good. */
  agreed(ask: Ask): Ask | undefined {
    if (!this.#auto) return undefined;
    if (ask.version === 4 && this.#closed === 1 && !this.#asksAgain) {
      this.#asksAgain = true;
      return { ...ask, version: 5 };
    }
    this.#known.set(this.#url, ask.version);
    return undefined;
  }

  /** It may be another server than it was, behind the same address. */
  failed(ask: Ask, error: unknown): void {
    if (ask.version === 4 && error instanceof ConfigError) this.#known.delete(this.#url);
  }
}

async function renewed(ask: Ask, renew: (ask: Ask) => Promise<Ask>, socket: Duplex): Promise<Ask> {
  try {
    return await renew(ask);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** The socket is destroyed unless the server agreed. */
async function answerTo(
  ask: Ask,
  socket: Duplex,
  speaks: Speaks,
  signal: AbortSignal,
): Promise<{ connack: IConnackPacket } | { next: Ask }> {
  try {
    const connack = await handshake(socket, ask, signal);
    const code = ask.version === 5 ? connack.reasonCode : connack.returnCode;
    if (code === 0) return { connack };
    const next = refusal(ask, connack, speaks.mayFallBack(ask));
    if (next instanceof Error) throw next;
    socket.destroy();
    return { next };
  } catch (error) {
    socket.destroy();
    if (error instanceof NoConnackError && isCertificateError(error.cause)) {
      throw new ConfigError(`the server refused our certificate: ${error.message}`, { cause: error });
    }
    const next = error instanceof NoConnackError ? speaks.closed(ask) : undefined;
    if (next === undefined) throw error;
    return { next };
  }
}

/** Of several servers' faults, the one that may be over soonest; all of them are told. */
export function worstOf(failures: readonly Error[]): Error {
  const [first = new NotConnectedError("there is no server"), ...others] = failures;
  if (others.length === 0) return first;
  const text = failures.map(({ message }) => message).join("; ");
  return failures.every((error) => error instanceof ConfigError)
    ? new ConfigError(text, { cause: first })
    : new NotConnectedError(text, { cause: first });
}
