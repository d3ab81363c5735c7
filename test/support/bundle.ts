import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The files of a support bundle by their names, unpacked by the system's own tar. @throws Error where it has more than one folder. */
export function unpacked(bytes: Uint8Array): Map<string, string> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-bundle-"));
  try {
    const archive = join(folder, "bundle.tar.gz");
    writeFileSync(archive, bytes);
    execFileSync("tar", ["-xzf", archive, "-C", folder], { stdio: "pipe" });
    const [inner, ...more] = readdirSync(folder).filter((name) => name !== "bundle.tar.gz");
    if (inner === undefined || more.length > 0)
      throw new Error(`the bundle has ${inner ?? "nothing"} ${more.join(" ")}`);
    return new Map(
      readdirSync(join(folder, inner)).map((name) => [name, readFileSync(join(folder, inner, name), "utf8")]),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
