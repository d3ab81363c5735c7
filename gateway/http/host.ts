const LOOPBACK_V4 = /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/;
const HOST = /^(\[[0-9a-f:]+\]|[^:[\]\s]+)(?::\d{1,5})?$/;

/** Whether a Host header names this machine's loopback. A page that rebinds its DNS name to 127.0.0.1 does not. */
export function isLoopbackHost(header: string | undefined): boolean {
  const name = HOST.exec(header?.toLowerCase() ?? "")?.[1];
  return name === "localhost" || name === "[::1]" || (name !== undefined && LOOPBACK_V4.test(name));
}
