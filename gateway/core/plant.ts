import type { Tag } from "./driver.ts";
import type { Sample } from "./sample.ts";

/** The devices of the gateway, as far as one uplink is concerned with them. */
export interface Plant {
  /** Those whose samples it selects, in the order of the configuration. */
  readonly devices: readonly PlantDevice[];
  /** The newest sample of a tag since the start; undefined before the first. */
  newest(device: string, tag: string): PlantSample | undefined;
  /** False where it is known that the device does not answer, or that its link is down. */
  answers(device: string): boolean;
  /**
   * A command for a device, as `commands` takes it from local clients. Resolves when it is remembered on disk or was
   * refused; what became of it is told by its result.
   * @throws StorageError when it could not be remembered: nothing was begun.
   */
  command(device: string, body: Uint8Array, from: string): Promise<void>;
}

export interface PlantDevice {
  readonly name: string;
  /** Also those that are derived. */
  readonly tags: readonly Tag[];
}

export interface PlantSample {
  readonly sample: Sample;
  /** When it was taken, Unix milliseconds. */
  readonly wallMs: number;
}
