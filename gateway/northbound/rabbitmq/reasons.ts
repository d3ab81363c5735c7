import { ConfigError, messageOf, NotConnectedError } from "../../core/errors.ts";

/** What to do about the codes with which the server closes a channel or a connection (AMQP 0-9-1, 1.2). */
const CURES: Readonly<Record<number, string>> = {
  403: "check username and password, and that this user may write there",
  404: "make the exchange, or set declare: true",
  406: "it is there already with other properties; remove it there, or set declare: false",
  530: "check that the virtual host is there and this user may use it",
};

/** Its words, and what they mean for us: a fault of the setup waits for a person, any other for the server. */
export function faultOf(error: unknown, what: string): ConfigError | NotConnectedError {
  if (error instanceof ConfigError || error instanceof NotConnectedError) return error;
  const text = messageOf(error);
  const code = codeOf(error, text);
  const cure = code === undefined ? undefined : CURES[code];
  if (cure !== undefined) return new ConfigError(`${what}: ${text}; ${cure}`, { cause: error });
  if (isCertificateError(error))
    return new ConfigError(`${what}: ${text}; check tls.ca and tls.servername`, { cause: error });
  return new NotConnectedError(`${what}: ${text}`, { cause: error });
}

function codeOf(error: unknown, text: string): number | undefined {
  if (typeof error === "object" && error !== null && "code" in error && typeof error.code === "number")
    return error.code;
  const [, code] = /\b(403|404|406|530)\b/.exec(text) ?? [];
  if (code !== undefined) return Number(code);
  return /ACCESS.REFUSED/i.test(text) ? 403 : undefined;
}

/** Codes of Node's TLS for a certificate that does not fit. */
function isCertificateError(error: unknown): boolean {
  if (typeof error !== "object" || error === null || !("code" in error)) return false;
  return /CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL/.test(String(error.code));
}
