import type { Device, Tag, TagWrite, WriteLimits, WriteResult } from "../core/driver.ts";
import type { Sample } from "../core/sample.ts";

/** A device that commands can be for, on its link. */
export interface Target {
  readonly device: Device;
  /** What may be written to a tag; undefined where nothing may. */
  limits(tag: Tag): WriteLimits | undefined;
  /** @throws as `Link.write`. */
  write(writes: readonly TagWrite[], signal: AbortSignal): Promise<WriteResult[]>;
  /** Asks the device now. @throws NotConnectedError, TimeoutError when it does not answer. */
  read(tags: readonly Tag[], signal: AbortSignal): Promise<Sample[]>;
}
