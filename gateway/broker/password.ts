import { randomBytes, scrypt } from "node:crypto";
import { formatPasswordHash } from "../core/password-hash.ts";

/** 16 MiB and about a tenth of a second on a small computer. */
const [LOG_N, R, P] = [14, 8, 2] as const;
const [SALT_BYTES, KEY_BYTES] = [16, 32] as const;

/** A new hash each time. */
export function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  return new Promise((resolve, reject) => {
    scrypt(password, salt, KEY_BYTES, { N: 2 ** LOG_N, r: R, p: P }, (error, key) => {
      if (error) reject(error);
      else {
        const texts = { salt: salt.toString("base64url"), key: key.toString("base64url") };
        resolve(formatPasswordHash({ logN: LOG_N, r: R, p: P, ...texts }));
      }
    });
  });
}
