import { execFile } from "node:child_process";

/** `unknown`: chronyd runs, and cannot be asked. `absent` and `asking` are what is known before its first answer. */
export type ChronyStatus = "synced" | "unsynced" | "unknown" | "absent" | "asking";

const TIMEOUT_MS = 3000;

/** Whether chronyd has set the clock. Never rejects. */
export function chronyStatus(): Promise<ChronyStatus> {
  return new Promise((resolve) => {
    execFile("chronyc", ["-c", "-n", "tracking"], { timeout: TIMEOUT_MS, encoding: "utf8" }, (error, stdout) => {
      resolve(error ? "unknown" : chronyTracking(stdout));
    });
  });
}

/** The answer to `chronyc -c tracking`: comma-separated, the leap status last. */
export function chronyTracking(text: string): ChronyStatus {
  const fields = text.trim().split(",");
  const leap = fields.at(-1);
  if (fields.length < 13 || leap === undefined || leap === "") return "unknown";
  return leap === "Not synchronised" ? "unsynced" : "synced";
}
