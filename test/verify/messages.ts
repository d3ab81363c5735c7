/** Messages as a gateway sends them, written by hand here and not by the gateway's own encoder. */

export interface Named {
  readonly gateway?: string;
  readonly stream?: string;
  readonly epoch?: string;
  readonly chain?: string;
}

export interface Message {
  readonly payload: Buffer;
  readonly properties: Record<string, string>;
}

const DEFAULTS = { gateway: "g1", stream: "events", epoch: "0000002a", chain: "cloud-1" };

export function record(
  seq: number,
  prev: number,
  more: Named & { body?: unknown; historical?: boolean } = {},
): Message {
  const { gateway, stream, epoch, chain } = { ...DEFAULTS, ...more };
  return {
    payload: Buffer.from(JSON.stringify(more.body ?? { ts: 1, values: { n: seq } })),
    properties: {
      id: `${gateway}/${stream}/${epoch}/${seq}`,
      prev: String(prev),
      chain,
      clock: "synced",
      ...(more.historical ? { historical: "1" } : {}),
    },
  };
}

export function enveloped(seq: number, prev: number, more: Named = {}): Message {
  const { properties, payload } = record(seq, prev, more);
  const { id, chain, clock } = properties;
  const body = JSON.parse(payload.toString());
  return { payload: Buffer.from(JSON.stringify({ _m: { id, prev, chain, clock }, ...body })), properties: {} };
}

export function gap(
  from: number,
  to: number,
  prev: number,
  more: Named & { reason?: string; exact?: boolean; count?: number } = {},
): Message {
  const { gateway, stream, epoch, chain } = { ...DEFAULTS, ...more };
  const { reason = "dropped", exact = true, count = to - from + 1 } = more;
  const id = `${gateway}/${stream}/${epoch}/${from}-${to}`;
  const body = { type: "gap", gateway, id, stream, epoch, chain, from, to, prev, count, bytes: 1, reason, exact };
  return { payload: Buffer.from(JSON.stringify(body)), properties: {} };
}

export function refused(after: number, id: string, count: number, more: Named = {}): Message {
  const { gateway, stream, epoch, chain } = { ...DEFAULTS, ...more };
  const of = { gateway, id: `${gateway}/${stream}/${epoch}/${after}/${id}`, stream, epoch, chain };
  const body = { type: "gap", ...of, after, tFrom: 1, tTo: 2, count, bytes: 1, reason: "refused", exact: true };
  return { payload: Buffer.from(JSON.stringify(body)), properties: {} };
}

export function status(lastTaken: number, lastAcked: number, more: Named = {}): Message {
  const { gateway, stream, epoch, chain } = { ...DEFAULTS, ...more };
  const streams = { [stream]: { epoch, chain, lastTaken, lastAcked } };
  const body = { type: "status", state: "online", gateway, uplink: "cloud", ts: 1, boot: "b", streams };
  return { payload: Buffer.from(JSON.stringify(body)), properties: {} };
}
