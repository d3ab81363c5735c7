import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";

/**
 * All assertions of Sparkplug 3.0.0 (tck-ids.txt), by whom they bind: `edge` an edge node; `host` and `server` others; `templates`
 * an edge node that has data sets or templates, which this one has not; `user` whoever gives names to several edge nodes.
 */
it("every assertion that applies to an edge node is named by a test", () => {
  const folder = import.meta.dirname;
  const lines = readFileSync(join(folder, "tck-ids.txt"), "utf8").trim().split("\n");
  const ids = lines.filter((line) => line.startsWith("edge ")).map((line) => line.slice("edge ".length));
  const tests = readdirSync(folder).filter((name) => name.endsWith(".test.ts"));
  const text = tests.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
  const named = new Set(text.match(/tck-id-[A-Za-z0-9-]+/g));
  expect(lines).toHaveLength(299);
  expect(ids).toHaveLength(164);
  expect(ids.filter((id) => !named.has(id))).toEqual([]);
  const known = new Set(lines.map((line) => line.split(" ")[1]));
  expect([...named].filter((id) => id !== "tck-id-" && !known.has(id))).toEqual([]);
});
