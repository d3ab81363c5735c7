import type { NotConnectedError } from "../../../gateway/core/errors.ts";

/** What a line tells of. `peer` tells connections apart where there can be several; it is never used again. */
export interface LineEvents {
  data(chunk: Buffer, peer: number): void;
  /** A connection ended while the line goes on. */
  left(peer: number): void;
  /** Once, after a successful `open`: unplugged, refused, or closed. */
  closed(reason: NotConnectedError): void;
}

/** Where bytes come from. Opened once; after an error or a close the object is dead, and a new one is made. */
export interface Line {
  /** @throws NotConnectedError. `close` ends it early. */
  open(): Promise<void>;
  /** Sends to the device. A failure ends the line by itself. */
  write(bytes: Buffer): void;
  /** Idempotent, never rejects; resolves when nothing is left of it, whoever began to close it. */
  close(): Promise<void>;
}
