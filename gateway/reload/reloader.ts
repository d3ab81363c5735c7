import { ConfigError } from "../core/errors.ts";

/** What applying a configuration does to one part of the running gateway. */
export interface ReloadStep {
  /** `link line1`, `uplink cloud`, or a section: `broker`, `recipes`. */
  readonly part: string;
  readonly action: "start" | "stop" | "restart" | "change";
  /** For people: what differs. */
  readonly why: string;
}

export interface ReloadPlan {
  /** None where nothing differs. */
  readonly steps: readonly ReloadStep[];
  /** All parts restart, within the process: sessions of local clients and the queue stay on disk. */
  readonly whole: boolean;
}

/** Who asked for it, for the audit trail: `SIGHUP`, `local user pi`, `anna`. */
export type Asker = string;

/** Applies the configuration file to the running gateway. */
export interface Reloader {
  /** Reads and checks the file as it stands: what applying it would do. @throws ConfigFaults with every fault of it. */
  plan(): Promise<ReloadPlan>;
  /**
   * Applies the file as it stands, one after the other where several ask. Resolves when it runs.
   * @throws ConfigFaults when the file is wrong: nothing was touched. ReloadError when it did not start: what ran before runs again.
   */
  reload(by: Asker): Promise<ReloadPlan>;
}

/** The new configuration did not start; the one before runs again. */
export class ReloadError extends ConfigError {}
