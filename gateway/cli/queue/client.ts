import { type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { ConfigError, messageOf, StorageError } from "../../core/errors.ts";

/** The gateway does not answer: exit 69. */
export class UnavailableError extends Error {
  override readonly name = "UnavailableError";
}

/** Whether somebody listens on a Unix socket. @throws ConfigError when it is not allowed to open it. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EACCES" && error.code !== "EPERM") return resolve(false);
      const cure = "run it as the gateway's user, for example: sudo -u millrace millrace queue stats";
      reject(new ConfigError(`the control socket ${path} is not open to you; ${cure}`));
    });
  });
}

/**
 * Asks a gateway over its control socket; the answer has not been read yet.
 * @throws ConfigError and StorageError as the gateway says; UnavailableError when it does not answer.
 */
export async function ask(
  path: string,
  method: "GET" | "POST",
  url: string,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const asked = request({ socketPath: path, method, path: url, signal, agent: false }, resolve);
    asked.once("error", (error) => {
      reject(signal.aborted ? signal.reason : new UnavailableError(`the gateway does not answer: ${messageOf(error)}`));
    });
    asked.end();
  });
  if (response.statusCode === 200) return response;
  throw errorOf(await textOf(response));
}

export async function askJson(
  path: string,
  method: "GET" | "POST",
  url: string,
  signal: AbortSignal,
): Promise<unknown> {
  return JSON.parse(await textOf(await ask(path, method, url, signal)));
}

export async function textOf(response: IncomingMessage): Promise<string> {
  response.setEncoding("utf8");
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return text;
}

function errorOf(body: string): Error {
  let found: { error?: unknown; code?: unknown };
  try {
    found = JSON.parse(body);
  } catch {
    return new UnavailableError(`the gateway answered: ${body.slice(0, 200)}`);
  }
  const message = String(found.error);
  if (found.code === "MILLRACE_CONFIG") return new ConfigError(message);
  return found.code === "MILLRACE_STORAGE" ? new StorageError(message) : new UnavailableError(message);
}
