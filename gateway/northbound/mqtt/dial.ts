import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Clock } from "../../core/clock.ts";
import { ConfigError, messageOf, NotConnectedError } from "../../core/errors.ts";
import type { MqttOptions } from "./options.ts";

export type Resolve = (relative: string) => string;

export interface DialContext {
  readonly path: Resolve;
  readonly clock?: Clock;
}

/**
 * Opens the socket of an MQTT session; TLS is verified before it resolves. The signal bounds only this.
 * @throws NotConnectedError. ConfigError when a file is missing or a certificate does not fit.
 */
export async function dial(options: MqttOptions, context: DialContext, signal: AbortSignal): Promise<Socket> {
  const url = new URL(options.url);
  const secure = url.protocol === "mqtts:";
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? (secure ? 8883 : 1883) : Number(url.port);
  const socket = secure ? openTls(options, context.path, host, port) : connectTcp({ host, port });
  try {
    await opened(socket, secure ? "secureConnect" : "connect", signal);
  } catch (error) {
    socket.on("error", () => {});
    socket.destroy();
    throw signal.aborted ? signal.reason : dialError(error, { host, port, clock: context.clock });
  }
  socket.setNoDelay(true);
  return socket;
}

function openTls(options: MqttOptions, path: Resolve, host: string, port: number): TLSSocket {
  const { ca, cert, key, servername } = options.tls ?? {};
  const name = servername ?? (isIP(host) === 0 ? host : undefined);
  try {
    return connectTls({
      host,
      port,
      minVersion: "TLSv1.2",
      rejectUnauthorized: true,
      ...(name === undefined ? {} : { servername: name }),
      ...(ca === undefined ? {} : { ca: pem("tls.ca", path(ca)) }),
      ...(cert === undefined ? {} : { cert: pem("tls.cert", path(cert)) }),
      ...(key === undefined ? {} : { key: pem("tls.key", path(key)) }),
    });
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`the TLS files cannot be used: ${messageOf(error)}`, { cause: error });
  }
}

function pem(key: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigError(`${key}: ${messageOf(error)}`, { cause: error });
  }
}

/** Why a PEM certificate file cannot be used; undefined when it can. */
export function certificateFault(file: string): string | undefined {
  try {
    new X509Certificate(readFileSync(file));
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function opened(socket: Socket, event: "connect" | "secureConnect", signal: AbortSignal): Promise<void> {
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
  /^(CERT_|ERR_TLS_CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_SSL_TLSV1_ALERT|ERR_SSL_SSLV3_ALERT)/;

/** A clock that was not set makes every certificate one of the future; time alone cures it. */
const NOT_YET = "CERT_NOT_YET_VALID";

function dialError(error: unknown, at: { host: string; port: number; clock: Clock | undefined }): Error {
  const { host, port, clock } = at;
  if (error instanceof ConfigError) return error;
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  const detail = messageOf(error) || code;
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
