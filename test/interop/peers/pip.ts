import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needProgram, root } from "../../support/processes.ts";

/** Runs a script of this folder with its arguments and its input; what it printed, by lines. */
export type PythonPeer = (args: readonly string[], input?: string) => string[];

/**
 * A Python script of this folder, with packages of PyPI in a folder of their own. Undefined where they are not at hand: said,
 * and skipped.
 */
export function pythonPeer(
  script: string,
  wanted: { readonly about: string; readonly name: string; readonly packages: readonly string[] },
): PythonPeer | undefined {
  const lib = join(tmpdir(), "millrace-interop", wanted.name);
  try {
    const python = needProgram("python3", "python3 python3-pip");
    const install = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", lib, ...wanted.packages];
    if (!existsSync(lib)) execFileSync(python, install, { stdio: "pipe", timeout: 120_000 });
    return (args, input = "") =>
      execFileSync(python, [join(root, "test/interop/peers", script), ...args], {
        encoding: "utf8",
        input,
        env: { ...process.env, PYTHONPATH: lib },
      })
        .split("\n")
        .filter((line) => line !== "");
  } catch (error) {
    console.warn(`skipped: ${wanted.about} needs python3, python3-pip and PyPI: ${error}`);
    return undefined;
  }
}
