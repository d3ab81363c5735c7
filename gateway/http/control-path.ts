import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** `sun_path` has 108 bytes with the zero at its end. */
const MOST_BYTES = 107;
/** As long as what is appended while the socket is being made. */
const ROOM = "/.ctl-XXXXXX/s".length;

/** Where the control socket of a data folder is made; `folder` is to be made too where the path would be too long. */
export function controlPath(dataDir: string): { readonly path: string; readonly folder?: string } {
  if (Buffer.byteLength(dataDir) + ROOM <= MOST_BYTES) return { path: join(dataDir, "control.sock") };
  const hash = createHash("sha256").update(dataDir).digest("hex").slice(0, 16);
  const folder = join(tmpdir(), `millrace-${hash}`);
  return { path: join(folder, "control.sock"), folder };
}

/** The file that names the socket where it is not in the data folder. */
export function pointerPath(dataDir: string): string {
  return join(dataDir, "state", "control");
}

/** Where to look for the control socket of a running gateway. */
export async function findControl(dataDir: string): Promise<string> {
  const pointer = await readFile(pointerPath(dataDir), "utf8").catch(() => "");
  return pointer.trim() === "" ? join(dataDir, "control.sock") : pointer.trim();
}
