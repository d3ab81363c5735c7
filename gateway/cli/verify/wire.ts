import { crc32, gunzipSync } from "node:zlib";

/** Of a body that is unpacked, at most: what a gateway sends in one message is far less. */
const MOST_UNZIPPED = 64 * 1024 * 1024;

/** What a receiver makes of one message that a gateway sent. */
export type Heard =
  | {
      readonly kind: "record";
      readonly gateway: string;
      readonly stream: string;
      readonly epoch: string;
      readonly chain: string;
      readonly seq: number;
      readonly prev: number;
      readonly id: string;
      readonly historical: boolean;
      readonly clock: string;
      /** Boot whose clock was not set when it was sent. */
      readonly boot?: string;
      readonly quality?: string;
      /** One of the messages of a record that came as several. */
      readonly part?: { readonly number: number; readonly of: number };
      /** crc32 of what the record says, without the envelope (whose `prev` may change when it is sent again). */
      readonly crc: number;
      /** The body without its envelope, where there was one. */
      readonly body?: unknown;
    }
  | {
      readonly kind: "gap";
      readonly gateway: string;
      readonly stream: string;
      readonly epoch: string;
      readonly chain: string;
      readonly from: number;
      readonly to: number;
      readonly prev: number;
      readonly count: number;
      readonly reason: string;
      readonly exact: boolean;
    }
  /** Records that were refused before they had a seq: in no range, and in no hole. */
  | {
      readonly kind: "refused";
      readonly gateway: string;
      readonly stream: string;
      readonly epoch: string;
      readonly chain: string;
      readonly id: string;
      readonly count: number;
      readonly exact: boolean;
    }
  | {
      readonly kind: "status";
      readonly gateway: string;
      readonly state: string;
      readonly streams: readonly {
        readonly stream: string;
        readonly epoch: string;
        readonly chain: string;
        readonly lastTaken: number;
        readonly lastAcked: number;
      }[];
    }
  | {
      readonly kind: "clock";
      readonly gateway: string;
      readonly boot: string;
    }
  /** Not one of ours, or without an id. */
  | { readonly kind: "other" }
  /** It has an id, but what it says cannot be. */
  | { readonly kind: "malformed"; readonly why: string };

export type UserProperties = Readonly<Record<string, string | readonly string[] | undefined>>;

const ID = /^(.+)\/([a-z]+)\/([0-9a-f]{8})\/([1-9]\d{0,15})$/;

/** Reads a message as an MQTT receiver got it: record id and `prev` in user properties or in the envelope `_m`. */
export function readMessage(payload: Uint8Array, properties: UserProperties): Heard {
  const id = one(properties["id"]);
  if (id !== undefined) return record((key) => one(properties[key]), crc32(payload), undefined);
  const json = parseObject(payload);
  if (json === undefined) return { kind: "other" };
  if (isObject(json["_m"])) return enveloped(json, json["_m"]);
  if (json["type"] === "gap") return gap(json);
  if (json["type"] === "status") return status(json);
  if (json["type"] === "clock") return clock(json);
  return { kind: "other" };
}

/**
 * As `readMessage`, of a message that may hold several records: a JSON array of bodies, each with its envelope; compressed by gzip
 * or not.
 */
export function readMessages(body: Uint8Array, properties: UserProperties): readonly Heard[] {
  const payload = unzipped(body, properties);
  if (payload === undefined) return [{ kind: "malformed", why: "its body is not whole gzip" }];
  if (payload[0] !== 0x5b || properties["id"] !== undefined) return [readMessage(payload, properties)];
  const list = parseArray(payload);
  if (list === undefined || list.length === 0) return [{ kind: "other" }];
  return list.map((item): Heard => {
    if (!isObject(item) || !isObject(item["_m"])) return { kind: "other" };
    return enveloped(item, item["_m"]);
  });
}

/** Without properties (MQTT 3.1.1) gzip is known by its first bytes. */
function unzipped(body: Uint8Array, properties: UserProperties): Uint8Array | undefined {
  const told = one(properties["content-encoding"]) === "gzip";
  const marked = body[0] === 0x1f && body[1] === 0x8b && properties["id"] === undefined;
  if (!told && !marked) return body;
  try {
    return gunzipSync(body, { maxOutputLength: MOST_UNZIPPED });
  } catch {
    return told ? undefined : body;
  }
}

function enveloped(json: Record<string, unknown>, meta: Record<string, unknown>): Heard {
  const { _m: _envelope, ...body } = json;
  return record((key) => text(meta[key]), crc32(JSON.stringify(body)), body);
}

function parseArray(payload: Uint8Array): readonly unknown[] | undefined {
  try {
    const json: unknown = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString());
    return Array.isArray(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

function record(get: (key: string) => string | undefined, crc: number, body: unknown): Heard {
  const id = get("id") ?? "";
  const match = ID.exec(id);
  if (!match) return { kind: "malformed", why: `id "${id.slice(0, 80)}" is not gateway/stream/epoch/seq` };
  const [, gateway = "", stream = "", epoch = "", seqText = ""] = match;
  const seq = Number(seqText);
  const prev = Number(get("prev"));
  if (!Number.isSafeInteger(prev) || prev < 0 || prev >= seq) {
    return { kind: "malformed", why: `prev "${get("prev") ?? ""}" of ${id} is not below its seq` };
  }
  const part = partOf(get("part"));
  if (part === null) return { kind: "malformed", why: `part "${get("part")?.slice(0, 80)}" of ${id} is not number/of` };
  const quality = get("quality");
  const boot = get("boot");
  return {
    kind: "record",
    gateway,
    stream,
    epoch,
    chain: get("chain") ?? "",
    seq,
    prev,
    id,
    historical: get("historical") === "1",
    clock: get("clock") ?? "",
    crc,
    body,
    ...(part === undefined ? {} : { part }),
    ...(quality === undefined ? {} : { quality }),
    ...(boot === undefined ? {} : { boot }),
  };
}

/** Null when it cannot be. */
function partOf(given: string | undefined): { number: number; of: number } | undefined | null {
  if (given === undefined) return undefined;
  const [, number = 0, of = 0] = (/^([1-9]\d{0,5})\/([1-9]\d{0,5})$/.exec(given) ?? []).map(Number);
  return number === 0 || number > of ? null : { number, of };
}

function gap(json: Record<string, unknown>): Heard {
  const { gateway, stream, epoch, chain, from, to, prev, count, reason, exact } = json;
  if (typeof gateway !== "string" || typeof stream !== "string" || typeof epoch !== "string") {
    return { kind: "other" };
  }
  if (json["after"] !== undefined) return refused({ gateway, stream, epoch }, json);
  const numbers = [from, to, prev, count];
  if (!isSeq(from) || !isSeq(to) || !isSeq(prev) || !isSeq(count) || to < from || prev >= from) {
    return { kind: "malformed", why: `a gap with impossible numbers ${JSON.stringify(numbers).slice(0, 80)}` };
  }
  return {
    kind: "gap",
    gateway,
    stream,
    epoch,
    chain: text(chain) ?? "",
    from,
    to,
    prev,
    count,
    reason: text(reason) ?? "unknown",
    exact: exact === true,
  };
}

function refused(of: { gateway: string; stream: string; epoch: string }, json: Record<string, unknown>): Heard {
  const { id, chain, count, exact } = json;
  if (typeof id !== "string" || !isSeq(count)) {
    return { kind: "malformed", why: "a gap of refused records without an id or a count" };
  }
  return { kind: "refused", ...of, chain: text(chain) ?? "", id, count, exact: exact === true };
}

function status(json: Record<string, unknown>): Heard {
  const { gateway, state, streams } = json;
  if (typeof gateway !== "string") return { kind: "other" };
  const rows = isObject(streams) ? Object.entries(streams) : [];
  return {
    kind: "status",
    gateway,
    state: text(state) ?? "",
    streams: rows.flatMap(([stream, row]) => {
      if (!isObject(row) || !isSeq(row["lastTaken"]) || !isSeq(row["lastAcked"])) return [];
      const { lastTaken, lastAcked } = row;
      return [{ stream, epoch: text(row["epoch"]) ?? "", chain: text(row["chain"]) ?? "", lastTaken, lastAcked }];
    }),
  };
}

function clock(json: Record<string, unknown>): Heard {
  const { gateway, boot, offset, uncertainty } = json;
  if (typeof gateway !== "string" || typeof boot !== "string") return { kind: "other" };
  if (!Number.isFinite(offset) || !Number.isFinite(uncertainty)) {
    return { kind: "malformed", why: `a clock record of boot ${boot.slice(0, 80)} without offset and uncertainty` };
  }
  return { kind: "clock", gateway, boot };
}

function isSeq(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function one(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === "object" ? value[0] : value;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
}

function parseObject(payload: Uint8Array): Record<string, unknown> | undefined {
  if (payload[0] !== 0x7b) return undefined;
  try {
    const json: unknown = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString());
    return isObject(json) ? json : undefined;
  } catch {
    return undefined;
  }
}
