import { randomBytes } from "node:crypto";
import { chown, lstat, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { ConfigError, messageOf, StorageError } from "../core/errors.ts";
import { roleName, scopeName } from "./roles.ts";

export const userName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/, "a name has 1 to 64 letters, digits, and . _ @ - behind the first");

const user = z.strictObject({
  name: userName,
  role: roleName,
  hash: z.string().max(200),
  /** Unix milliseconds. */
  created: z.number(),
  changed: z.number(),
});
const token = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9_-]{12}$/),
  name: z.string().min(1).max(64),
  scopes: z.array(scopeName).min(1),
  /** SHA-256 of the whole token: it is random and long, so a slow hash would add nothing. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  created: z.number(),
  createdBy: z.string().max(128),
  /** Unix milliseconds; absent: never. */
  expires: z.number().optional(),
});
const content = z.strictObject({
  version: z.literal(1),
  users: z.array(user).max(256),
  tokens: z.array(token).max(256),
});

export type User = z.infer<typeof user>;
export type Token = z.infer<typeof token>;
export type AccountsContent = z.infer<typeof content>;

export const NO_ACCOUNTS: AccountsContent = { version: 1, users: [], tokens: [] };

export function accountsPath(dataDir: string): string {
  return join(dataDir, "state", "accounts.json");
}

/** Undefined where there is no file. @throws ConfigError: it is there and cannot be used, which is not the same. */
export async function readAccounts(path: string): Promise<AccountsContent | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new ConfigError(`the accounts file ${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  try {
    return content.parse(JSON.parse(text));
  } catch (error) {
    throw new ConfigError(
      `the accounts file ${path} is damaged; restore it from a backup, or remove it and begin with a new setup token`,
      { cause: error },
    );
  }
}

/** Written beside, fsynced and moved over the old one; mode 0600, owned by whoever owns the folder. @throws StorageError. */
export async function writeAccounts(path: string, accounts: AccountsContent): Promise<void> {
  const folder = dirname(path);
  const next = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    await mkdir(folder, { recursive: true });
    const file = await open(next, "wx", 0o600);
    try {
      await file.writeFile(`${JSON.stringify(content.parse(accounts), null, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    const owner = await lstat(folder);
    // Written by root for a gateway that runs as somebody else.
    if (owner.uid !== userInfo().uid) await chown(next, owner.uid, owner.gid);
    await rename(next, path);
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch (error) {
    await rm(next, { force: true }).catch(() => {});
    throw new StorageError(`the accounts cannot be kept in ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** Changes when the file does; undefined where there is none. */
export async function versionOf(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found && `${found.ino} ${found.mtimeNs} ${found.size}`;
}
