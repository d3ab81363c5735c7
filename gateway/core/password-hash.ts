/**
 * Password hashes as they stand in a configuration: `scrypt:14:8:2:<salt>:<key>` with log2 N, r, p (RFC 7914), salt and key in
 * base64url. No character of it needs quotes in YAML.
 */
export interface PasswordHash {
  readonly logN: number;
  readonly r: number;
  readonly p: number;
  /** In base64url. */
  readonly salt: string;
  readonly key: string;
}

const HASH = /^scrypt:(\d{1,2}):(\d{1,2}):(\d{1,2}):([A-Za-z0-9_-]{22,86}):([A-Za-z0-9_-]{43,86})$/;
/** What a hash may ask of this machine: 64 MiB, and 16 times the work of our own. */
const [LEAST_LOG_N, MOST_LOG_N] = [10, 16];
const MOST_WORK = 2 ** 22;

/** Undefined where it is none, or asks for more than a small computer has. */
export function parsePasswordHash(text: string): PasswordHash | undefined {
  const [, logN = "", r = "", p = "", salt = "", key = ""] = HASH.exec(text) ?? [];
  const hash = { logN: Number(logN), r: Number(r), p: Number(p), salt, key };
  const isCostly = hash.logN >= LEAST_LOG_N && hash.r >= 1 && hash.p >= 1;
  const isBearable = hash.logN <= MOST_LOG_N && 2 ** hash.logN * hash.r * hash.p <= MOST_WORK;
  return isCostly && isBearable ? hash : undefined;
}

export function formatPasswordHash({ logN, r, p, salt, key }: PasswordHash): string {
  return `scrypt:${logN}:${r}:${p}:${salt}:${key}`;
}
