import { readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { TwoSlotFile } from "../../gateway/queue/two-slot.ts";
import { testFolder } from "./support.ts";

const SLOT = 16 * 1024;

async function contentOf(path: string): Promise<unknown> {
  const file = new TwoSlotFile(path);
  const { content } = await file.open();
  await file.close();
  return content;
}

describe("a two-slot file", () => {
  it("gives what was written last", async () => {
    const path = join(await testFolder(), "state");
    const file = new TwoSlotFile(path);
    expect(await file.open()).toEqual({ content: undefined, damaged: false, doubtful: false });
    for (let n = 1; n <= 5; n++) {
      await file.write({ n }, n % 2 === 0);
      expect(await contentOf(path)).toEqual({ n });
    }
    await file.close();
    expect(await contentOf(path)).toEqual({ n: 5 });
  });

  it("never overwrites what was fsynced last with something that is not", async () => {
    const path = join(await testFolder(), "state");
    const file = new TwoSlotFile(path);
    await file.open();
    await file.write({ n: "synced" }, true);
    for (let n = 1; n <= 7; n++) {
      await file.write({ n }, false);
      // As a power cut would leave it: of what was not fsynced, nothing is certain.
      const torn = await readFile(path);
      const at = torn.indexOf('{"n":"synced"}') < SLOT ? SLOT : 0;
      torn.fill(0x5a, at, at + SLOT);
      await writeFile(`${path}-torn`, torn);
      expect(await contentOf(`${path}-torn`)).toEqual({ n: "synced" });
    }
    await file.close();
  });

  it("grows, and keeps on", async () => {
    const path = join(await testFolder(), "state");
    const file = new TwoSlotFile(path);
    await file.open();
    await file.write({ n: 1 }, true);
    const large = { text: "x".repeat(50_000) };
    await file.write(large, false);
    expect(await contentOf(path)).toEqual(large);
    await file.write({ n: 2 }, false);
    expect(await contentOf(path)).toEqual({ n: 2 });
    await file.close();
    expect((await readFile(path)).length).toBe(2 * 64 * 1024);
  });

  it("takes the older slot when the newer one is damaged, and says so when both are", async () => {
    const path = join(await testFolder(), "state");
    const file = new TwoSlotFile(path);
    await file.open();
    await file.write({ n: 1 }, true);
    await file.write({ n: 2 }, true);
    await file.close();
    const bytes = await readFile(path);
    const newer = bytes.indexOf('{"n":2}');
    bytes[newer + 5] = 0x33;
    await writeFile(path, bytes);
    expect(await contentOf(path)).toEqual({ n: 1 });
    bytes[bytes.indexOf('{"n":1}') + 5] = 0x33;
    await writeFile(path, bytes);
    const both = new TwoSlotFile(path);
    expect(await both.open()).toEqual({ content: undefined, damaged: true, doubtful: false });
    await both.close();
  });

  it("is made anew where it was cut short", async () => {
    const path = join(await testFolder(), "state");
    const file = new TwoSlotFile(path);
    await file.open();
    await file.write({ n: 1 }, true);
    await file.close();
    await truncate(path, 10);
    const again = new TwoSlotFile(path);
    await again.open();
    await again.write({ n: 3 }, true);
    await again.close();
    expect(await contentOf(path)).toEqual({ n: 3 });
  });
});
