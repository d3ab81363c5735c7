import { resolve } from "node:path";
import { lockerOf } from "../host/file-holder.ts";

/**
 * The pid of the process that has the data folder; undefined where there is none. Taking the lock to find out would write
 * to a store that is only to be looked at, and could keep a gateway from starting. On Linux only; elsewhere undefined.
 */
export function lockHolder(dataDir: string): Promise<number | undefined> {
  return lockerOf(resolve(dataDir, "state", "lock", "LOCK"));
}
