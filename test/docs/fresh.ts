import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { root } from "../support/processes.ts";

/** Pages that are made from the code. UPDATE_GENERATED=1 writes them anew. */
const HOW = "UPDATE_GENERATED=1 npx vitest run test/docs";

export const NOTE = (source: string): string => `<!-- Made from ${source}: ${HOW} -->\n`;

export function expectFresh(file: string, fresh: string): void {
  const path = join(root, "docs", file);
  if (process.env["UPDATE_GENERATED"] === "1") writeFileSync(path, fresh);
  expect(readFileSync(path, "utf8"), `docs/${file} is stale: ${HOW}`).toBe(fresh);
}
