import type { Clock } from "../core/clock.ts";
import type { Device, Driver } from "../core/driver.ts";
import type { ConfigError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Metrics } from "../core/metrics.ts";
import type { LinkOptions } from "./options.ts";
import type { Scan } from "./scan.ts";

/** What a link is made of. */
export interface LinkParts {
  readonly name: string;
  /** Makes a driver; called anew for each connection attempt, since a used one is never connected again. */
  readonly driver: () => Driver;
  readonly devices: readonly Device[];
  readonly clock: Clock;
  /** The link's own child logger. */
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Takes each scan; must return at once. The bus does not wait for what it starts. */
  readonly emit: (scan: Scan) => void;
  /** Told why when a device stops answering or the connection is lost; must return at once. */
  readonly onFault?: (reason: string) => void;
  /** The driver says that this link can never connect as configured. The link tries no more. */
  readonly onConfigError?: (error: ConfigError) => void;
  readonly options?: Partial<LinkOptions>;
}
