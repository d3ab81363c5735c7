import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { measureFsync } from "../../gateway/cli/selftest/fsync.ts";

const SIGNAL = new AbortController().signal;

async function file(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "selftest-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, "fsync");
}

it("appends 200 bytes each time and times it", async () => {
  const path = await file();
  const found = await measureFsync(path, { ms: 30, signal: SIGNAL, written: () => Promise.resolve(undefined) });
  expect((await stat(path)).size).toBe(found.count * 200);
  expect(found.maxMs).toBeGreaterThan(0);
  expect(found.bytesEach).toBeUndefined();
});

it("says what reaches the device for each, and is not misled by what others write now and then", async () => {
  const path = await file();
  let looks = 0;
  let others = 0;
  const written = async () => {
    if (++looks % 3 === 0) others += 1e9;
    // A new block of data and one of the journal.
    return ((await stat(path)).size / 200) * 8192 + others;
  };
  const found = await measureFsync(path, { ms: 2000, signal: SIGNAL, written });
  expect(found.bytesEach).toBe(8192);
});

it("ends with the reason of its signal", async () => {
  const stop = new AbortController();
  stop.abort(new Error("enough"));
  const work = measureFsync(await file(), { ms: 5000, signal: stop.signal, written: () => Promise.resolve(0) });
  await expect(work).rejects.toThrow(/enough|aborted/);
});
