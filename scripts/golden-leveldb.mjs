// Turns test/golden/format-1.json into real LevelDB folders, as LevelDB itself lays them out. Run by hand, committed once.
import { mkdir, readFile } from "node:fs/promises";
import { ClassicLevel } from "classic-level";

const golden = JSON.parse(await readFile(new URL("../test/golden/format-1.json", import.meta.url), "utf8"));
for (const segment of golden) {
  const { first, generation } = segment.expect.header;
  const folder = new URL(
    `../test/golden/format-1/queue/${segment.stream}/${String(first).padStart(16, "0")}-${generation}/`,
    import.meta.url,
  ).pathname;
  await mkdir(folder, { recursive: true });
  const db = new ClassicLevel(folder, { keyEncoding: "buffer", valueEncoding: "buffer", compression: false });
  await db.batch(
    segment.rows.map(([key, value]) => ({
      type: "put",
      key: Buffer.from(key, "hex"),
      value: Buffer.from(value, "hex"),
    })),
    { sync: true },
  );
  await db.close();
}
