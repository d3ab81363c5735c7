import type { Device, Tag, TagWrite, WriteResult } from "../../core/driver.ts";
import type { ErrandDevice, ErrandTag } from "../../core/errand.ts";
import type { Sample } from "../../core/sample.ts";

/** What a read or a write is about: as it is sent to a gateway, or resolved where none runs. */
export interface Ask {
  readonly device: ErrandDevice;
  readonly tags: readonly ErrandTag[];
}

/** A sample; `silent` where the unit did not answer at all. */
export type Answer = Pick<Sample, "tag" | "quality" | "value" | "reason"> & { readonly silent?: true };

/** One link, through the gateway that runs it or directly. */
export interface LineAccess {
  readonly via: "gateway" | "direct";
  /**
   * One sample for each tag; a unit that does not answer gives `bad` ones.
   * @throws NotConnectedError, ConfigError, RejectedError.
   */
  read(ask: Ask, signal: AbortSignal): Promise<readonly Answer[]>;
  /** @throws NotConnectedError, RejectedError: not done. UncertainWriteError: it may have been done. */
  write(device: Device, writes: readonly TagWrite[], signal: AbortSignal): Promise<readonly WriteResult[]>;
  /** Idempotent, never rejects. */
  close(): Promise<void>;
}

/** Samples of tags that nobody answered for. */
export function unanswered(tags: readonly (ErrandTag | Tag)[], reason: string): Answer[] {
  return tags.map((tag) => ({ tag: typeof tag === "string" ? tag : tag.name, quality: "bad", reason, silent: true }));
}
