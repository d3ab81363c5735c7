import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needProgram, root } from "../../support/processes.ts";

/** Of Grafana Labs, made from Grafana's schemas; the last for the model of Grafana 10. */
const PACKAGE = "grafana-foundation-sdk==1769699998!10.1.0";
const lib = join(tmpdir(), "millrace-interop", "grafana-foundation-sdk-10.1.0");

/** What of the dashboard in a file Grafana's SDK does not know. Undefined where the SDK is not at hand: said, and skipped. */
export function grafanaSdk(): ((file: string) => string[]) | undefined {
  try {
    const python = needProgram("python3", "python3 python3-pip");
    const install = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", lib, PACKAGE];
    if (!existsSync(join(lib, "grafana_foundation_sdk")))
      execFileSync(python, install, { stdio: "pipe", timeout: 120_000 });
    const script = join(root, "test/interop/peers/grafana-sdk.py");
    return (file) =>
      execFileSync(python, [script, file], { encoding: "utf8", env: { ...process.env, PYTHONPATH: lib } })
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => String(JSON.parse(line)));
  } catch (error) {
    console.warn(`skipped: Grafana's SDK needs python3, python3-pip and PyPI: ${error}`);
    return undefined;
  }
}
