import { readFileSync } from "node:fs";

/** Tells one machine from its clone: a copied card must not continue the ids of the first. Empty where there is none. */
export function machineId(): string {
  try {
    return readFileSync("/etc/machine-id", "utf8").trim();
  } catch {
    return "";
  }
}
