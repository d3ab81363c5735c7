import { readFileSync } from "node:fs";

/** The program's version, as its package says. */
export function programVersion(): string {
  for (const up of ["../package.json", "../../package.json"]) {
    try {
      const found: unknown = JSON.parse(readFileSync(new URL(up, import.meta.url), "utf8"));
      if (typeof found === "object" && found !== null && "version" in found) return String(found.version);
    } catch {
      // Compiled, it lies one folder deeper.
    }
  }
  return "unknown";
}
