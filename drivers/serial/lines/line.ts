import type { NotConnectedError } from "../../../gateway/core/errors.ts";

/** What a line tells of. `peer` tells connections apart where there can be several; it is never used again. */
export interface LineEvents {
  data(chunk: Buffer, peer: number): void;
  /** Somebody connected, where there can be several. */
  joined?(peer: number): void;
  /** A connection ended while the line goes on. */
  left(peer: number): void;
  /** Once, after a successful `open`: unplugged, refused, or closed. */
  closed(reason: NotConnectedError): void;
}

/** Where bytes come from. Opened once; after an error or a close the object is dead, and a new one is made. */
export interface Line {
  /** @throws NotConnectedError. `close` ends it early. */
  open(): Promise<void>;
  /** Sends to the device; where there can be several, to all of them or to `peer` alone. A failure ends the line by itself. */
  write(bytes: Buffer, peer?: number): void;
  /** Idempotent, never rejects; resolves when nothing is left of it, whoever began to close it. */
  close(): Promise<void>;
}
