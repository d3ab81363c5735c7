import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { isLoopbackHost } from "./host.ts";

const CSP = [
  "default-src 'self'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

/** What every answer carries. */
export function securityHeaders(secure: boolean): Record<string, string> {
  return {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    ...(secure ? { "Strict-Transport-Security": "max-age=31536000" } : {}),
  };
}

/** The name in a Host header, without port and brackets, in lower case; undefined for one that is none. */
export function hostName(header: string | undefined): string | undefined {
  const found = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/.exec(header?.toLowerCase() ?? "");
  return found?.[1] ?? found?.[2];
}

/**
 * Whether a Host header names this gateway: loopback where it came in by loopback, the address it came in at, or a name of
 * `http.hosts`. A page that rebinds its own name to this machine does not know any of them.
 */
export function isKnownHost(request: IncomingMessage, hosts: readonly string[]): boolean {
  const { host } = request.headers;
  const name = hostName(host);
  if (name === undefined) return false;
  if (hosts.some((known) => known.toLowerCase() === name)) return true;
  const at = plainAddress(request.socket.localAddress);
  if (isLoopback(at) && isLoopbackHost(host)) return true;
  return isIP(name) !== 0 && name === at;
}

/** Whether a request was made by a page of another origin, as far as its browser says. */
export function isForeign(request: IncomingMessage, secure: boolean): boolean {
  const { origin, host } = request.headers;
  const site = request.headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin" && site !== "none") return true;
  if (origin === undefined) return false;
  if (!URL.canParse(origin)) return true;
  const url = new URL(origin);
  if (secure && url.protocol !== "https:") return true;
  return url.host !== host?.toLowerCase().replace(secure ? /:443$/ : /:80$/, "");
}

/** Whether a browser vouches for the page: what only a cookie stands behind needs it. */
export function isVouchedFor(request: IncomingMessage): boolean {
  return request.headers.origin !== undefined || request.headers["sec-fetch-site"] === "same-origin";
}

/** Whether it was asked on this machine, and not on behalf of somebody elsewhere. */
export function isLocal(request: IncomingMessage): boolean {
  const { headers } = request;
  if (headers["x-forwarded-for"] !== undefined || headers.forwarded !== undefined || headers.via !== undefined)
    return false;
  return isLoopback(addressOf(request));
}

export function addressOf(request: IncomingMessage): string {
  return plainAddress(request.socket.remoteAddress);
}

export function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}

/** Without the wrapping of IPv4 in IPv6. */
function plainAddress(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:(?=\d+\.)/, "");
}
