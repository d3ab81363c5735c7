import type { EventEmitter } from "node:events";
import { connect as connectTcp, isIP, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { createWebSocketStream, WebSocket } from "ws";
import type { Clock } from "../../core/clock.ts";
import { ConfigError, messageOf, NotConnectedError } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import { mqttPlace } from "../../core/options/mqtt-server.ts";
import { MAX_INBOUND_BYTES } from "./handshake.ts";
import type { MqttOptions } from "./options.ts";
import { readTlsFiles, type TlsMaterial, type TlsMemory } from "./tls-files.ts";

export type Resolve = (relative: string) => string;

export interface DialContext {
  readonly path: Resolve;
  readonly clock?: Clock;
  readonly log: Logger;
  /** The files that worked last. */
  readonly memory: TlsMemory;
  /** What each server was found to speak, by its URL; absent where nothing outlives the call. */
  readonly versions?: Map<string, 4 | 5>;
}

export interface Dialled {
  readonly socket: Duplex;
  /** With which TLS was made; undefined without TLS. */
  readonly files: TlsMaterial | undefined;
}

type DialOptions = Pick<MqttOptions, "url" | "tls" | "preset">;

/** Protocol that AWS wants to hear on the port of HTTPS. */
const AWS_ALPN = "x-amzn-mqtt-ca";
const HTTPS_PORT = 443;
/** A server of TLS 1.3 judges a client certificate after the client's side is done. */
const VERDICT_MS = 500;

/**
 * Opens the socket of an MQTT session; TLS is verified before it resolves, and nothing is sent before. Files that were renewed and
 * do not work give way to those that worked last. The signal bounds only this.
 * @throws NotConnectedError. ConfigError when a file is missing or a certificate does not fit.
 */
export async function dial(options: DialOptions, context: DialContext, signal: AbortSignal): Promise<Dialled> {
  const { secure } = mqttPlace(options.url);
  if (!secure) return { socket: await open(options, undefined, context, signal), files: undefined };
  const { memory, log, path } = context;
  const { good } = memory;
  let fresh: TlsMaterial | undefined;
  try {
    fresh = readTlsFiles(options.tls, path);
    if (good === undefined || !memory.isRefused(fresh.digest)) {
      return { socket: await open(options, fresh, context, signal), files: fresh };
    }
  } catch (error) {
    if (!(error instanceof ConfigError) || good === undefined || good.digest === fresh?.digest) throw error;
    if (fresh !== undefined) memory.refuse(fresh.digest);
    log.warn({ reason: error.message }, "the new TLS files do not work; the ones before are used");
  }
  return { socket: await open(options, good, context, signal), files: good };
}

/** A handshake with these files and nothing else. @throws as `dial`. */
export async function tryFiles(
  options: DialOptions,
  material: TlsMaterial,
  context: DialContext,
  signal: AbortSignal,
): Promise<void> {
  const socket = await open(options, material, context, signal);
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, VERDICT_MS);
      const fail = (error?: Error) => {
        clearTimeout(timer);
        reject(
          new ConfigError(`the server refused the new TLS files: ${error?.message ?? "it closed the connection"}`),
        );
      };
      socket.on("error", fail).on("end", () => fail());
      socket.resume();
    });
  } finally {
    socket.on("error", () => {});
    socket.destroy();
  }
}

async function open(
  options: DialOptions,
  material: TlsMaterial | undefined,
  context: DialContext,
  signal: AbortSignal,
): Promise<Duplex> {
  const { host, port, web } = mqttPlace(options.url);
  const { stream, emitter, event } = begin(options, material);
  try {
    await opened(emitter, event, signal);
  } catch (error) {
    stream.on("error", () => {});
    if (web) emitter.on("error", () => {});
    stream.destroy();
    throw signal.aborted ? signal.reason : dialError(error, { host, port, clock: context.clock });
  }
  if (stream instanceof Socket) stream.setNoDelay(true);
  return stream;
}

interface Beginning {
  readonly stream: Duplex;
  /** What tells that it is open, that it failed or that it was closed. */
  readonly emitter: EventEmitter;
  readonly event: "connect" | "secureConnect" | "open";
}

function begin(options: DialOptions, material: TlsMaterial | undefined): Beginning {
  const { host, port, web } = mqttPlace(options.url);
  try {
    const tls = material === undefined ? {} : tlsOptions(options, material, host, port);
    if (web) {
      // The subprotocol is demanded by MQTT [MQTT-6.0.0-3]; compression would hold back what is small.
      const client = new WebSocket(options.url, ["mqtt"], {
        ...tls,
        perMessageDeflate: false,
        maxPayload: MAX_INBOUND_BYTES,
      });
      const stream = createWebSocketStream(client);
      stream.on("error", () => {});
      return { stream, emitter: client, event: "open" };
    }
    const stream = material === undefined ? connectTcp({ host, port }) : connectTls({ host, port, ...tls });
    return { stream, emitter: stream, event: material === undefined ? "connect" : "secureConnect" };
  } catch (error) {
    throw new ConfigError(`the TLS files cannot be used: ${messageOf(error)}`, { cause: error });
  }
}

function tlsOptions(
  { tls, preset, url }: DialOptions,
  material: TlsMaterial,
  host: string,
  port: number,
): ConnectionOptions {
  const name = tls?.servername ?? (isIP(host) === 0 ? host : undefined);
  const aws = preset === "aws-iot" && port === HTTPS_PORT && url.startsWith("mqtts:");
  const alpn = tls?.alpn ?? (aws ? AWS_ALPN : undefined);
  const { digest: _digest, ...files } = material;
  return {
    minVersion: "TLSv1.2",
    rejectUnauthorized: true,
    ...(name === undefined ? {} : { servername: name }),
    ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
    ...files,
  };
}

function opened(socket: EventEmitter, event: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      socket.off(event, done).off("error", fail).off("close", closed);
      signal.removeEventListener("abort", abort);
      act();
    };
    const done = () => settle(resolve);
    const fail = (error: Error) => settle(() => reject(error));
    const closed = () => settle(() => reject(new Error("the connection was closed during the handshake")));
    const abort = () => settle(() => reject(signal.reason));
    socket.on(event, done).on("error", fail).on("close", closed);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
  });
}

/** A certificate that does not fit is not cured by trying again soon. */
const CERTIFICATE =
  /^(CERT_|CRL_|ERR_TLS_CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_SSL_TLSV1_|ERR_SSL_TLSV13_ALERT|ERR_SSL_SSLV3_ALERT|ERR_SSL_UNSUPPORTED_PROTOCOL|ERR_SSL_WRONG_VERSION)/;
const OLD_TLS = /^ERR_SSL_(UNSUPPORTED_PROTOCOL|WRONG_VERSION|TLSV1_ALERT_PROTOCOL_VERSION)/;

/** A clock that was not set makes every certificate one of the future; time alone cures it. */
const NOT_YET = "CERT_NOT_YET_VALID";

/** Whether an error of the socket says that a certificate was refused; after the handshake it is the server's word on ours. */
export function isCertificateError(error: unknown): boolean {
  return CERTIFICATE.test(codeOf(error));
}

function codeOf(error: unknown): string {
  return typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
}

function dialError(error: unknown, at: { host: string; port: number; clock: Clock | undefined }): Error {
  const { host, port, clock } = at;
  if (error instanceof ConfigError) return error;
  const code = codeOf(error);
  const detail = OLD_TLS.test(code) ? "the server does not speak TLS 1.2 or newer" : messageOf(error) || code;
  const now = clock?.now();
  if (code === NOT_YET && now?.clock === "unsynced") {
    const text = `TLS with ${host}:${port}: ${detail}, by a clock that is not set (${new Date(now.wallMs).toISOString()})`;
    return new NotConnectedError(text, { cause: error });
  }
  if (CERTIFICATE.test(code)) {
    return new ConfigError(`TLS with ${host}:${port}: ${detail} (${code})`, { cause: error });
  }
  return new NotConnectedError(`no connection to ${host}:${port}: ${detail}`, { cause: error });
}
