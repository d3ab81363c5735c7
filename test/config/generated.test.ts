import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { configJsonSchema } from "../../gateway/config/json-schema.ts";
import { fillTables, optionTables } from "../../gateway/config/option-tables.ts";

/** Files that are made from the schemas. UPDATE_GENERATED=1 writes them anew. */
const ROOT = join(import.meta.dirname, "../..");

function expectFresh(file: string, make: (present: string) => string): void {
  const path = join(ROOT, file);
  const update = process.env["UPDATE_GENERATED"] === "1";
  const present = update && file.endsWith(".json") ? "" : readFileSync(path, "utf8");
  const fresh = make(present);
  if (update) writeFileSync(path, fresh);
  else expect(present, `${file} is stale: UPDATE_GENERATED=1 npx vitest run test/config/generated.test.ts`).toBe(fresh);
}

it("schema/millrace.schema.json is what the schemas say", () => {
  expectFresh("schema/millrace.schema.json", () => `${JSON.stringify(configJsonSchema(), null, 2)}\n`);
});

it("the option tables in docs/configuration.md are what the schemas say", () => {
  expectFresh("docs/configuration.md", (page) => fillTables(page, optionTables()));
});

it("a table without a place, and a place without a table, are noticed", () => {
  const tables = new Map([["gateway", "rows\n"]]);
  expect(() => fillTables("# page\n", tables)).toThrow('no place for the option table "gateway"');
  expect(() => fillTables("<!-- options: gatewya -->\n<!-- end -->\n", tables)).toThrow('no option table "gatewya"');
  expect(fillTables("<!-- options: gateway -->\nold\n<!-- end -->\n", tables)).toBe(
    "<!-- options: gateway -->\nrows\n<!-- end -->\n",
  );
});
