import type { NotConnectedError } from "../../../gateway/core/errors.ts";
import type { Ends } from "../../../gateway/core/recording.ts";

export interface ChannelEvents {
  data(chunk: Buffer): void;
  /** Once, after a successful `open`: unplugged, failed, or closed. */
  closed(reason: NotConnectedError): void;
}

/** Carries bytes, or datagrams, to one far side and back. Opened once, closed once; after an error the object is dead. */
export interface Channel {
  /** @throws NotConnectedError. */
  open(): Promise<void>;
  /** Failures end the channel by themselves. */
  write(bytes: Buffer): void;
  /** Drops what was received and nobody has read, where that can lie about. */
  flush?(): Promise<void>;
  /** Looks whether the far side is still there; ends the channel when it is not. Called when an answer did not come. */
  check?(): void;
  /** Both ends of an open one, where it goes through IP. */
  ends?(): Ends | undefined;
  /** Idempotent, never rejects; resolves when nothing is left of it. */
  close(): Promise<void>;
}

export type OpenChannel = (events: ChannelEvents) => Channel;
