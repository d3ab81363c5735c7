import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/** Of scrypt (RFC 7914): memory is 128·N·r bytes. */
export interface ScryptCost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** 32 MiB and about 80 ms on a PC, several times that on a Raspberry Pi. */
export const SCRYPT: ScryptCost = { N: 32_768, r: 8, p: 1 };

const KEY_BYTES = 32;
const SALT_BYTES = 16;
const LEAST = 12;
const MOST = 256;
const STORED = /^scrypt\$(\d{1,8})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9_-]{22})\$([A-Za-z0-9_-]{43})$/;
/** What a stored hash may cost at most; a changed file must not take the memory. */
const MOST_COST = 2 ** 20;

/** `scrypt$N$r$p$salt$key`: the parameters stay with the hash, so that they may rise later. */
export async function hashPassword(password: string, cost: ScryptCost = SCRYPT): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const key = await derive(password, salt, cost);
  return ["scrypt", cost.N, cost.r, cost.p, salt.toString("base64url"), key.toString("base64url")].join("$");
}

/** In constant time for one cost; false for a hash that is not understood. */
export async function isPassword(password: string, stored: string): Promise<boolean> {
  const [, N, r, p, salt = "", key = ""] = STORED.exec(stored) ?? [];
  const cost = { N: Number(N), r: Number(r), p: Number(p) };
  if (!(cost.N >= 2 && cost.r >= 1 && cost.p >= 1 && cost.N * cost.r * cost.p <= MOST_COST * 8)) return false;
  const wanted = Buffer.from(key, "base64url");
  const found = await derive(password, Buffer.from(salt, "base64url"), cost);
  return found.length === wanted.length && timingSafeEqual(found, wanted);
}

/** Why a password is not taken; undefined for a good one. */
export function passwordFault(password: string, user: string): string | undefined {
  if (password.length < LEAST) return `a password has at least ${LEAST} characters`;
  if (Buffer.byteLength(password) > MOST) return `a password has at most ${MOST} bytes`;
  const plain = password.toLowerCase();
  if (plain.includes(user.toLowerCase())) return "the password contains the name of the user";
  if (new Set(plain).size < 5) return "the password repeats the same few characters";
  if (/millrace|password|12345678|qwert|admin/.test(plain) && new Set(plain).size < 12)
    return "the password is one of those that are tried first";
  return undefined;
}

function derive(password: string, salt: Buffer, { N, r, p }: ScryptCost): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const maxmem = 256 * N * r + 1024 * 1024;
    scrypt(password.normalize("NFKC"), salt, KEY_BYTES, { N, r, p, maxmem }, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}
