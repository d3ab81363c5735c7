import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { silentLogger } from "../../gateway/core/log.ts";
import { Folders } from "../../gateway/queue/folders.ts";
import { clearStatePlaces } from "../../gateway/queue/misplaced.ts";

const home = mkdtempSync(join(tmpdir(), "misplaced-"));
afterEach(() => rmSync(home, { recursive: true, force: true }));

describe("folders among the state", () => {
  it("stay where they belong to another part (the audit trail began anew with each restart)", async () => {
    const folders = new Folders(home);
    for (const name of ["lock", "audit", "learnt", "seq"]) mkdirSync(folders.state(name), { recursive: true });
    writeFileSync(join(folders.state("audit"), "audit-1.ndjson"), "{}\n");
    const aside: string[] = [];
    const quarantine = {
      add: (path: string) => {
        aside.push(path);
        return Promise.resolve(path);
      },
    };
    await clearStatePlaces({ folders, quarantine, log: silentLogger });
    expect(aside).toEqual([folders.state("seq")]);
    expect(readdirSync(folders.state("audit"))).toEqual(["audit-1.ndjson"]);
  });
});
