import type { Value } from "../core/sample.ts";

/** What became of one tag of a command. */
export interface TagOutcome {
  readonly before?: Value | undefined;
  readonly after?: Value | undefined;
  /** What the device holds now, where it is not known whether it was written. */
  readonly readBack?: Value | undefined;
  readonly error?: string | undefined;
}

/** What became of a command; each id gets one. */
export interface Result {
  readonly id: string;
  readonly ok: boolean;
  /** True where the device may have done it, and nothing tells. */
  readonly unknown?: true | undefined;
  readonly error?: string | undefined;
  /** As the sender gave it in the body. */
  readonly correlation?: string | undefined;
  /** With a recipe: its name, and how far its handshake came. */
  readonly recipe?: string | undefined;
  readonly handshake?: "done" | "not ready" | "not done" | undefined;
  readonly values?: Readonly<Record<string, TagOutcome>> | undefined;
}

export function refused(id: string, error: string, values?: Result["values"]): Result {
  return { id, ok: false, error, ...(values === undefined ? {} : { values }) };
}

/** As JSON. Integers beyond 2^53 are texts, bytes are base64, what JSON has no word for is null. */
export function resultJson(result: Result): string {
  return JSON.stringify(result, (_key, value: unknown) => {
    if (typeof value === "bigint") {
      const safe = value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER);
      return safe ? Number(value) : String(value);
    }
    if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
    return value;
  });
}
