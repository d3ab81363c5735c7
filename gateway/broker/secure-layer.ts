import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { createSecureContext, createServer, type SecureContextOptions, type Server, type TLSSocket } from "node:tls";
import { ConfigError, messageOf } from "../core/errors.ts";
import type { ListenerOptions } from "../core/options/broker.ts";

/** Forward secrecy and authenticated encryption only. */
const CIPHERS = [
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_AES_128_GCM_SHA256",
  "ECDHE+AESGCM",
  "ECDHE+CHACHA20",
].join(":");
/** How often renewed files are looked for. */
const RECHECK_MS = 60_000;

interface Around {
  path(file: string): string;
  log(message: string, fields: object): void;
}

interface Handshake {
  done(stream: TLSSocket, user: string | undefined): void;
  failed(why: string): void;
}

/** Makes TLS of accepted sockets; renewed certificates are taken up while it runs. */
export class SecureLayer {
  readonly #listener: ListenerOptions;
  readonly #around: Around;
  /** By address and port of the other end. */
  readonly #handshakes = new Map<string, Handshake>();
  #server: Server | undefined;
  #loaded = "";
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(listener: ListenerOptions, around: Around) {
    this.#listener = listener;
    this.#around = around;
  }

  /** @throws ConfigError naming the file. */
  async load(): Promise<void> {
    const files = await this.#read();
    const { ca, requireClientCert } = this.#listener;
    const policy = { requestCert: ca !== undefined, rejectUnauthorized: requireClientCert };
    // It listens nowhere: sockets that were let in are given to it.
    const server = createServer({ ...contextOf(files, this.#listener), ...policy });
    this.#loaded = textOf(files);
    server.on("error", () => {});
    server.on("secureConnection", (stream) => {
      const handshake = this.#take(stream);
      stream.disableRenegotiation();
      stream.on("error", () => {});
      if (handshake) handshake.done(stream, userOf(stream));
      else stream.destroy();
    });
    server.on("tlsClientError", (error, stream) => this.#take(stream)?.failed(messageOf(error)));
    this.#server = server;
    this.#timer = setInterval(() => void this.#renew(), RECHECK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#handshakes.clear();
  }

  /** Calls one of both, at most once; `done` with the CN of a verified client certificate. */
  take(socket: Socket, done: Handshake["done"], failed: Handshake["failed"]): void {
    const key = keyOf(socket);
    const handshake = { done, failed };
    this.#handshakes.set(key, handshake);
    socket.once("close", () => {
      if (this.#handshakes.get(key) === handshake) this.#handshakes.delete(key);
    });
    this.#server?.emit("connection", socket);
  }

  #take(stream: TLSSocket): Handshake | undefined {
    const key = keyOf(stream);
    const handshake = this.#handshakes.get(key);
    this.#handshakes.delete(key);
    return handshake;
  }

  /** Files that cannot be used leave those before in use. */
  async #renew(): Promise<void> {
    try {
      const files = await this.#read();
      const text = textOf(files);
      if (text === this.#loaded || this.#timer === undefined) return;
      const context = contextOf(files, this.#listener);
      this.#loaded = text;
      this.#server?.setSecureContext(context);
      this.#around.log("renewed certificates of a listener are in use", { port: this.#listener.port });
    } catch (error) {
      this.#around.log("renewed certificates of a listener cannot be used", { reason: messageOf(error) });
    }
  }

  async #read(): Promise<Files> {
    const { cert, key, ca } = this.#listener;
    if (cert === undefined || key === undefined) throw new ConfigError("broker.listeners: tls needs cert and key");
    const text = (file: string) => this.#text(file);
    return { cert: await text(cert), key: await text(key), ca: ca === undefined ? undefined : await text(ca) };
  }

  async #text(file: string): Promise<string> {
    try {
      return await readFile(this.#around.path(file), "utf8");
    } catch (cause) {
      throw new ConfigError(`broker.listeners: ${file} cannot be read (${messageOf(cause)})`, { cause });
    }
  }
}

interface Files {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | undefined;
}

function textOf({ cert, key, ca = "" }: Files): string {
  return [cert, key, ca].join("\0");
}

/** @throws ConfigError */
function contextOf({ cert, key, ca }: Files, listener: ListenerOptions): SecureContextOptions {
  const context: SecureContextOptions = { cert, key, minVersion: "TLSv1.2", ciphers: CIPHERS, honorCipherOrder: true };
  try {
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) throw new Error("the key is of another one");
    const whole = ca === undefined ? context : { ...context, ca };
    createSecureContext(whole);
    return whole;
  } catch (cause) {
    const files = `${listener.cert} and ${listener.key}`;
    throw new ConfigError(`broker.listeners: ${files} cannot be used (${messageOf(cause)})`, { cause });
  }
}

/** The CN of a client certificate that was verified. */
function userOf(stream: TLSSocket): string | undefined {
  if (!stream.authorized) return undefined;
  const names: unknown = stream.getPeerCertificate().subject?.CN;
  return typeof names === "string" && names !== "" ? names : undefined;
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
