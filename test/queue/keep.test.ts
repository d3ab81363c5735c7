import { cp, link, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { LevelSegments } from "../../gateway/queue/level-segments.ts";
import { testFolder } from "./support.ts";

/** A segment with one entry, as a kill leaves it: in its log. */
async function segment(): Promise<{ folder: string; engine: LevelSegments }> {
  const folder = join(await testFolder(), "0000000000000001-0");
  const engine = new LevelSegments(64 * 1024);
  const open = await engine.open(await golden(folder), 0);
  await open.close();
  return { folder, engine };
}

async function golden(folder: string): Promise<string> {
  const from = join(import.meta.dirname, "..", "golden", "format-1", "queue", "events", "0000000000000001-0");
  await cp(from, folder, { recursive: true });
  return folder;
}

async function keptOf(folder: string, files: readonly string[]): Promise<string> {
  const kept = join(folder, `kept-${files.length}`);
  await mkdir(kept);
  for (const file of files) await link(join(folder, file), join(kept, file));
  return kept;
}

async function content(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => /^(CURRENT|MANIFEST-|\d+\.)/.test(name)).sort();
}

it("an opening leaves nothing behind", async () => {
  const { folder, engine } = await segment();
  expect((await engine.header(folder))?.first).toBe(1);
  expect((await readdir(folder)).filter((name) => name.startsWith("kept"))).toEqual([]);
});

it("an opening that a power cut left without its old files and without its new names is undone", async () => {
  const folder = await golden(join(await testFolder(), "0000000000000001-0"));
  const engine = new LevelSegments(64 * 1024);
  const files = await content(folder);
  await keptOf(folder, files);
  // CURRENT still names the old manifest; that and the log were removed.
  for (const name of files) if (name !== "CURRENT") await rm(join(folder, name));
  const open = await engine.open(folder, 0);
  expect(open.header?.first).toBe(1);
  expect((await open.read(1, 1000, 1000, 2 ** 20)).length).toBeGreaterThan(0);
  await open.close();
  expect((await readdir(folder)).filter((name) => name.startsWith("kept"))).toEqual([]);
});

it("links that were not finished, or were being removed, do not count", async () => {
  const { folder, engine } = await segment();
  const files = await content(folder);
  const kept = await keptOf(folder, files);
  await rm(join(kept, "CURRENT"));
  const open = await engine.open(folder, 0);
  expect((await open.read(1, 1000, 1000, 2 ** 20)).length).toBeGreaterThan(0);
  await open.close();
  expect((await readdir(folder)).filter((name) => name.startsWith("kept"))).toEqual([]);
});
