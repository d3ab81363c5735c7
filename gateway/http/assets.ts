import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";

export interface Asset {
  readonly type: string;
  readonly body: Buffer;
  readonly tag: string;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".webmanifest": "application/manifest+json",
};
const MOST_BYTES = 8 * 1024 * 1024;

/**
 * The files of the dashboard, read once: what is asked for is looked up by its whole path, so there is no path to leave the folder
 * by. Empty where there is no such folder. `/` is index.html.
 */
export async function readAssets(folder: string): Promise<ReadonlyMap<string, Asset>> {
  const assets = new Map<string, Asset>();
  const found = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  let bytes = 0;
  for (const entry of found) {
    const type = TYPES[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    const body = await readFile(path);
    bytes += body.length;
    if (bytes > MOST_BYTES) throw new Error(`the dashboard in ${folder} is larger than ${MOST_BYTES} bytes`);
    const tag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
    assets.set(`/${relative(folder, path).split(sep).join("/")}`, { type, body, tag });
  }
  const index = assets.get("/index.html");
  if (index) assets.set("/", index);
  return assets;
}
