import { messageOf } from "../../core/errors.ts";
import { type FaultKind, KafkaFault } from "./transport.ts";

/** Errors of the protocol by their names (Apache Kafka, protocol guide, error codes), where the name decides. */
const BY_TYPE: Readonly<Record<string, readonly [FaultKind, string?]>> = {
  MESSAGE_TOO_LARGE: ["content"],
  RECORD_LIST_TOO_LARGE: ["content"],
  INVALID_RECORD: ["content"],
  CORRUPT_MESSAGE: ["again"],
  UNKNOWN_TOPIC_OR_PARTITION: ["topic", "make the topic, or set declare: true"],
  TOPIC_AUTHORIZATION_FAILED: ["topic", "let this user write to it"],
  INVALID_TOPIC_EXCEPTION: ["topic", "correct kafkaTopic"],
  POLICY_VIOLATION: ["topic", "ask who runs the cluster"],
  CLUSTER_AUTHORIZATION_FAILED: ["setup", "let this user do IdempotentWrite, or set idempotent: false"],
  SASL_AUTHENTICATION_FAILED: ["setup", "check sasl.username and sasl.password"],
  UNSUPPORTED_SASL_MECHANISM: ["setup", "the cluster does not know this sasl.mechanism"],
  GROUP_AUTHORIZATION_FAILED: ["setup", "let this user read as this group"],
  OUT_OF_ORDER_SEQUENCE_NUMBER: ["lost"],
  DUPLICATE_SEQUENCE_NUMBER: ["lost"],
  INVALID_PRODUCER_EPOCH: ["lost"],
  UNKNOWN_PRODUCER_ID: ["lost"],
  NOT_ENOUGH_REPLICAS: ["again", "fewer replicas are in sync than min.insync.replicas asks for"],
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: ["again", "fewer replicas are in sync than min.insync.replicas asks for"],
  KAFKA_STORAGE_ERROR: ["again", "a broker cannot write to its disk"],
};
const CERTIFICATE = /certificate|self.signed|altname|SSL|TLS|wrong version number/i;
const AUTHENTICATION = /SASL|authenticat/i;

/** What the library threw, as what it means. `about` says what was being done. */
export function faultOf(error: unknown, about: string): KafkaFault {
  if (error instanceof KafkaFault) return error;
  const inner = innermost(error);
  const text = messageOf(inner);
  const [kind, cure] = kindOf(inner, text);
  return new KafkaFault(kind, `${about}: ${text}${cure === undefined ? "" : `; ${cure}`}`, { cause: error });
}

function kindOf(error: unknown, text: string): readonly [FaultKind, string?] {
  const type = textOf(error, "type");
  const known = type === undefined || !Object.hasOwn(BY_TYPE, type) ? undefined : BY_TYPE[type];
  if (known !== undefined) return known;
  const name = textOf(error, "name") ?? "";
  if (name === "KafkaJSSASLAuthenticationError" || (AUTHENTICATION.test(text) && name !== "KafkaJSRequestTimeoutError"))
    return ["setup", "check sasl.mechanism, sasl.username and sasl.password"];
  const code = textOf(error, "code") ?? "";
  if (/CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL/.test(code) || CERTIFICATE.test(text))
    return ["setup", "check tls, its ca and servername"];
  return ["again"];
}

/** The library wraps what happened in what it made of it, some layers deep. */
function innermost(error: unknown): unknown {
  let at = error;
  for (let depth = 0; depth < 5; depth++) {
    const next = inside(at);
    if (next === undefined) return at;
    at = next;
  }
  return at;
}

function inside(error: unknown): unknown {
  if (typeof error !== "object" || error === null) return undefined;
  if ("errors" in error && Array.isArray(error.errors) && error.errors[0] instanceof Error) return error.errors[0];
  if ("cause" in error && error.cause instanceof Error) return error.cause;
  return "originalError" in error && error.originalError instanceof Error ? error.originalError : undefined;
}

function textOf(error: unknown, key: string): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const value: unknown = Reflect.get(error, key);
  return typeof value === "string" ? value : undefined;
}
