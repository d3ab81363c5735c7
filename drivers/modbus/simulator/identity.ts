import { z } from "zod";

const text = z.string().max(80).optional();

/** What a unit says it is, as in a YAML file. */
export const identitySchema = z.strictObject({
  vendor: text,
  product: text,
  revision: text,
  url: text,
  productName: text,
  model: text,
  application: text,
  serverId: text.describe("Answer to function 17; without it that is an illegal function."),
});

export type SimulatedIdentity = z.infer<typeof identitySchema>;

const NAMES = ["vendor", "product", "revision", "url", "productName", "model", "application"] as const;
/** The first three are basic, the others regular (MODBUS Application Protocol V1.1b3, 6.21). */
const BASIC = 3;
const ILLEGAL_ADDRESS = 2;
const ILLEGAL_VALUE = 3;
const MAX_PDU = 253;

/** The answer to functions 17 and 43/14; undefined for everything else, and where the unit says nothing. */
export function identityPdu(identity: SimulatedIdentity | undefined, pdu: Buffer): Buffer | undefined {
  if (pdu[0] === 17 && identity?.serverId !== undefined) {
    const id = Buffer.from(identity.serverId);
    return Buffer.concat([Buffer.of(17, id.length + 1), id, Buffer.of(0xff)]);
  }
  return pdu[0] === 43 && pdu[1] === 14 && identity ? objectsPdu(identity, pdu) : undefined;
}

function objectsPdu(identity: SimulatedIdentity, pdu: Buffer): Buffer {
  const code = pdu[2] ?? 0;
  const first = pdu[3] ?? 0;
  if (code < 1 || code > 4) return Buffer.of(0xab, ILLEGAL_VALUE);
  const all = NAMES.flatMap((name, id) =>
    identity[name] === undefined ? [] : [{ id, value: Buffer.from(identity[name]) }],
  );
  const wanted = all.filter(({ id }) => (code === 4 ? id === first : id >= first && (code > 1 || id < BASIC)));
  if (code === 4 && wanted.length === 0) return Buffer.of(0xab, ILLEGAL_ADDRESS);
  const parts: Buffer[] = [];
  let size = 7;
  let next: number | undefined;
  for (const { id, value } of wanted) {
    size += 2 + value.length;
    if (size > MAX_PDU) {
      next = id;
      break;
    }
    parts.push(Buffer.of(id, value.length), value);
  }
  const level = all.some(({ id }) => id >= BASIC) ? 0x82 : 0x81;
  const head = Buffer.of(43, 14, code, level, next === undefined ? 0 : 0xff, next ?? 0, parts.length / 2);
  return Buffer.concat([head, ...parts]);
}
