import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

const LIMIT_MS = 60_000;

/**
 * Whether a process of its own can read a whole segment and live. Three processes that ended while they opened it may have
 * been killed by others: nothing is set aside that is not shown to be guilty.
 */
export function readsInChild(folder: string): Promise<boolean> {
  const program = fileURLToPath(import.meta.url).replace(/probe(\.[jt]s)$/, "probe-child$1");
  return new Promise((resolve) => {
    const child = fork(program, ["--folder", folder], {
      stdio: "ignore",
      execArgv: ["--max-old-space-size=256"],
      timeout: LIMIT_MS,
      killSignal: "SIGKILL",
    });
    child.once("error", () => resolve(false));
    child.once("exit", (code) => resolve(code === 0));
  });
}
