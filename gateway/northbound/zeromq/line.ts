import type { Dealer, Event, Publisher, Push } from "zeromq";
import { ConfigError, messageOf, NotConnectedError } from "../../core/errors.ts";
import { loadZeroMq } from "./library.ts";
import type { Pattern } from "./options.ts";

/** An answer is short: what is longer ends the connection. */
const MAX_ANSWER = 65_536;

export interface LineSettings {
  readonly url: string;
  readonly pattern: Pattern;
  readonly heartbeatMs: number;
  readonly connectTimeoutMs: number;
  /** Messages that the library holds at most; 0 where that is bounded elsewhere. */
  readonly most: number;
  readonly curve?:
    | {
        readonly serverKey: string;
        readonly own?: { readonly publicKey: string; readonly secretKey: string } | undefined;
      }
    | undefined;
}

/** By what can be done with it: the library's classes all look alike. */
export type Opened = { readonly dealer: Dealer } | { readonly lossy: Push | Publisher };
type AnySocket = Dealer | Push | Publisher;

/**
 * One ZeroMQ socket with at most one connection, of which it is known when it is there and when it ends: the library would connect
 * again by itself and tell nobody. Nothing lingers: what a connection had not delivered when it ended is given back.
 */
export class Line {
  readonly #settings: LineSettings;
  #socket: AnySocket | undefined;
  #ended: Error | undefined;
  #opened: (() => void) | undefined;
  #failed: ((error: Error) => void) | undefined;
  #greeted = false;
  /** Why the handshake failed, told before the end of the connection. */
  #refusal: string | undefined;
  /** Told once, with why. */
  onEnd: (error: Error) => void = () => {};

  constructor(settings: LineSettings) {
    this.#settings = settings;
  }

  get lost(): Error | undefined {
    return this.#ended;
  }

  /** Resolves when the handshake is done. @throws ConfigError, NotConnectedError */
  async open(): Promise<Opened> {
    const { url, pattern, heartbeatMs, connectTimeoutMs, most, curve } = this.#settings;
    const library = await loadZeroMq();
    if (this.#ended) throw this.#ended;
    const keys = curve && { serverKey: curve.serverKey, ...(curve.own ?? library.curveKeyPair()) };
    const options = {
      linger: 0,
      // Nothing is queued for a receiver that is not there.
      immediate: true,
      reconnectInterval: -1,
      connectTimeout: connectTimeoutMs,
      handshakeInterval: connectTimeoutMs,
      heartbeatInterval: heartbeatMs,
      heartbeatTimeout: 2 * heartbeatMs,
      maxMessageSize: MAX_ANSWER,
      sendHighWaterMark: most,
      ipv6: url.startsWith("tcp://["),
      ...(keys === undefined
        ? {}
        : { curveServerKey: keys.serverKey, curvePublicKey: keys.publicKey, curveSecretKey: keys.secretKey }),
    };
    let opened: Opened;
    try {
      if (pattern === "dealer") opened = { dealer: new library.Dealer(options) };
      else opened = { lossy: pattern === "push" ? new library.Push(options) : new library.Publisher(options) };
    } catch (error) {
      throw new ConfigError(`${url}: ${messageOf(error)}; check the keys of curve`, { cause: error });
    }
    this.#socket = "dealer" in opened ? opened.dealer : opened.lossy;
    await this.#connected(this.#socket);
    return opened;
  }

  /** Ends it at once. Idempotent. */
  end(error: Error): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#socket?.close();
    this.#failed?.(error);
    this.onEnd(error);
  }

  #connected(socket: AnySocket): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#opened = resolve;
      this.#failed = reject;
      this.#watch(socket).catch((error: unknown) => this.end(new NotConnectedError(messageOf(error))));
      try {
        socket.connect(this.#settings.url);
      } catch (error) {
        this.end(new NotConnectedError(`${this.#settings.url}: ${messageOf(error)}`, { cause: error }));
      }
    });
  }

  async #watch(socket: AnySocket): Promise<void> {
    for await (const event of socket.events) this.#on(event);
  }

  #on(event: Event): void {
    const { url, curve } = this.#settings;
    switch (event.type) {
      case "handshake":
        this.#greeted = true;
        this.#opened?.();
        return;
      case "handshake:error:protocol":
        this.#refusal = /MECHANISM/.test(codeOf(event.error))
          ? curve
            ? "it does not use CURVE; remove curve, or give it a key"
            : "it asks for CURVE; give curve.serverKey"
          : `it is no receiver of this pattern: ${event.error.message}`;
        return;
      case "handshake:error:auth":
        this.#refusal = "it does not let us in; check curve.publicKey, and that the receiver knows it";
        return;
      case "handshake:error:other":
        if (curve) this.#refusal = "it ended the handshake; check curve.serverKey";
        return;
      case "disconnect":
      case "close":
      case "close:error":
      case "end":
        this.end(this.#whyOf(url));
    }
  }

  #whyOf(url: string): Error {
    if (this.#greeted) return new NotConnectedError(`${url}: the connection was lost`);
    if (this.#refusal !== undefined) return new ConfigError(`${url}: ${this.#refusal}`);
    const kind = { dealer: "ROUTER", push: "PULL", pub: "SUB" }[this.#settings.pattern];
    return new NotConnectedError(`${url}: nobody answers there, or it is not a ${kind} socket that is bound`);
  }
}

function codeOf(error: Error): string {
  return "code" in error ? String(error.code) : "";
}
