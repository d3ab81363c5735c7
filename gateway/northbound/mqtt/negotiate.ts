import type { Duplex } from "node:stream";
import type { IConnackPacket } from "mqtt-packet";
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
 * QoS 0. TLS files that made a session are remembered as good. `renew` has the last word on each CONNECT before it is sent.
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
  let ask = first;
  for (;;) {
    const { socket, files } = await dial(options, context, signal);
    // Until the connection takes over, an error shows in the handshake or in what follows it.
    socket.on("error", () => {});
    if (renew !== undefined) ask = await renewed(ask, renew, socket);
    const answer = await answerTo(ask, socket, options.version === "auto", signal).catch((error: unknown) => {
      // Whatever ended it: files that worked before are the better choice next time.
      const { good } = memory;
      if (files !== undefined && good !== undefined && files.digest !== good.digest) memory.refuse(files.digest);
      throw error;
    });
    if ("connack" in answer) {
      memory.works(files);
      return { socket, ask, connack: answer.connack };
    }
    ask = answer.next;
    log.debug({ version: ask.version, willRetain: ask.willRetain }, "asking the server for less");
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
  auto: boolean,
  signal: AbortSignal,
): Promise<{ connack: IConnackPacket } | { next: Ask }> {
  const mayFallBack = auto && ask.version === 5;
  try {
    const connack = await handshake(socket, ask, signal);
    const code = ask.version === 5 ? connack.reasonCode : connack.returnCode;
    if (code === 0) return { connack };
    const next = refusal(ask, connack, mayFallBack);
    if (next instanceof Error) throw next;
    socket.destroy();
    return { next };
  } catch (error) {
    socket.destroy();
    if (error instanceof NoConnackError && isCertificateError(error.cause)) {
      throw new ConfigError(`the server refused our certificate: ${error.message}`, { cause: error });
    }
    // Some servers of 3.1.1 close on a version they do not know.
    if (error instanceof NoConnackError && mayFallBack) return { next: { ...ask, version: 4 } };
    throw error;
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
