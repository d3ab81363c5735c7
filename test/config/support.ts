import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { ConfigFaults } from "../../gateway/config/faults.ts";
import { loadConfig } from "../../gateway/config/load.ts";
import type { ConfigDeps, LoadedConfig } from "../../gateway/config/types.ts";

/** A folder that is gone after the test, with `millrace.yaml` in it when `text` is given. */
export function folderWith(text?: string | Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), "millrace-config-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  if (text !== undefined) writeFileSync(join(folder, "millrace.yaml"), text);
  return folder;
}

/** Loads `text` as `millrace.yaml` from a folder of its own. */
export function loadText(text: string | Uint8Array, deps: ConfigDeps = {}): Promise<LoadedConfig> {
  return loadConfig("millrace.yaml", { cwd: folderWith(text), ...deps });
}

/** The faults of a configuration that must not load. */
export async function faultsOf(text: string | Uint8Array, deps: ConfigDeps = {}): Promise<ConfigFaults> {
  try {
    await loadText(text, deps);
  } catch (error) {
    if (error instanceof ConfigFaults) return error;
    throw error;
  }
  throw new Error("the configuration has no faults");
}
