import { readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** `eastron/sdm120`; never a way out of the folder. */
const NAME = /^[\w-][\w.-]*(\/[\w-][\w.-]*)+$/;
const EXTENSION = ".yaml";

export interface Shelf {
  readonly origin: "configuration" | "library";
  readonly folder: string;
}

export interface FoundProfile {
  readonly name: string;
  readonly origin: Shelf["origin"];
  readonly file: string;
}

export function isProfileName(name: string): boolean {
  return NAME.test(name);
}

/** Where profiles are looked for: beside the configuration first, then in those of the product. */
export async function shelvesOf(folder: string): Promise<Shelf[]> {
  const library = await libraryFolder();
  return [
    { origin: "configuration", folder: join(folder, "profiles") },
    ...(library === undefined ? [] : [{ origin: "library" as const, folder: library }]),
  ];
}

export async function findProfile(name: string, shelves: readonly Shelf[]): Promise<FoundProfile | undefined> {
  if (!isProfileName(name)) return undefined;
  for (const { origin, folder } of shelves) {
    const file = join(folder, `${name}${EXTENSION}`);
    if (await isFile(file)) return { name, origin, file };
  }
  return undefined;
}

/** Every profile by name; what lies in an earlier shelf hides its namesake. */
export async function listProfiles(shelves: readonly Shelf[]): Promise<FoundProfile[]> {
  const found = new Map<string, FoundProfile>();
  for (const { origin, folder } of shelves) {
    for (const file of await yamlFiles(folder)) {
      const name = relative(folder, file).slice(0, -EXTENSION.length).replaceAll("\\", "/");
      if (isProfileName(name) && !found.has(name)) found.set(name, { name, origin, file });
    }
  }
  return [...found.values()].sort((a, b) => a.name.localeCompare(b.name));
}

async function yamlFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(EXTENSION))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Beside `gateway` in the sources, one folder further up when compiled. */
async function libraryFolder(): Promise<string | undefined> {
  for (const up of ["../../../profiles/", "../../../../profiles/"]) {
    const folder = fileURLToPath(new URL(up, import.meta.url));
    const stats = await stat(folder).catch(() => undefined);
    if (stats?.isDirectory()) return folder;
  }
  return undefined;
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}
