import { chmod, lstat, mkdir, mkdtemp, rename, rm, rmdir, writeFile } from "node:fs/promises";
import type { Server } from "node:http";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { ConfigError, messageOf } from "../core/errors.ts";
import { controlPath, pointerPath } from "./control-path.ts";

/**
 * Listens on the control socket of a data folder, mode 0600; what a killed process left of it is replaced. The folder is
 * locked, so there is nobody else to listen there. Gives its path.
 * @throws ConfigError when the socket cannot be made.
 */
export async function listenControl(server: Server, dataDir: string): Promise<string> {
  const { path, folder } = controlPath(dataDir);
  try {
    if (folder !== undefined) await ownFolder(folder);
    // Made where nobody can reach it before its mode is right, and then moved over the old one.
    const making = await mkdtemp(join(dirname(path), ".ctl-"));
    try {
      await listening(server, join(making, "s"));
      await chmod(join(making, "s"), 0o600);
      await rename(join(making, "s"), path);
    } finally {
      await rmdir(making).catch(() => {});
    }
    await point(dataDir, folder === undefined ? undefined : path);
    return path;
  } catch (error) {
    server.close();
    throw new ConfigError(`the control socket ${path} cannot be made: ${messageOf(error)}`, { cause: error });
  }
}

/** Removes what `listenControl` made. Never rejects. */
export async function removeControl(dataDir: string, path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => {});
  await rm(pointerPath(dataDir), { force: true }).catch(() => {});
  const { folder } = controlPath(dataDir);
  if (folder !== undefined) await rmdir(folder).catch(() => {});
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path }, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
}

/** In a folder for everybody: whoever made this one before must have been us. */
async function ownFolder(folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  });
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== userInfo().uid || (found.mode & 0o077) !== 0) {
    throw new Error(`${folder} belongs to somebody else or is open to others; remove it`);
  }
}

async function point(dataDir: string, path: string | undefined): Promise<void> {
  if (path === undefined) await rm(pointerPath(dataDir), { force: true });
  else await writeFile(pointerPath(dataDir), `${path}\n`);
}
