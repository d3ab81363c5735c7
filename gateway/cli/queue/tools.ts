import type { Inspector, Snapshot, StoredEntry } from "../../core/inspect.ts";

export type OnProgress = (done: number, total: number) => void;

export interface Replaced {
  /** Per uplink, records it was owed that are gone now. */
  readonly owed: readonly { readonly name: string; readonly owed: number }[];
}

export interface BackupSummary {
  /** Unix milliseconds. */
  readonly created: number;
  readonly epoch: number;
  readonly streams: Snapshot["streams"];
  readonly uplinks: Snapshot["uplinks"];
  readonly files: readonly { readonly bytes: number }[];
}

/** What `millrace queue` is given of the queue; all of it is for a gateway that is not running, but `backup` and `line`. */
export interface QueueTools {
  stopped(parts: {
    readonly dataDir: string;
    readonly configured: readonly string[];
    readonly maxBytes: number;
  }): Promise<Inspector>;
  /** The pid of the gateway that has the data folder, where it can be known. */
  lockHolder(dataDir: string): Promise<number | undefined>;
  line(entry: StoredEntry, gatewayId: string | undefined): string;
  backup(
    snapshot: Omit<Snapshot, "close">,
    dir: string,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<BackupSummary>;
  restore(
    dataDir: string,
    dir: string,
    options: { readonly replace: boolean; readonly onProgress: OnProgress; readonly signal: AbortSignal },
  ): Promise<Replaced & { readonly manifest: BackupSummary }>;
  /** Dead letters lie in files that are only appended to: of a running gateway and of a stopped one alike. */
  readonly deadLetters: {
    uplinks(dataDir: string): Promise<readonly string[]>;
    /** One line of JSON each, oldest first. */
    lines(dataDir: string, uplink: string): AsyncIterable<string>;
  };
  reset(dataDir: string): Promise<Replaced>;
}
