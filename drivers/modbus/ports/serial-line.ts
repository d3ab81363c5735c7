import { SerialPort } from "serialport";
import { messageOf, NotConnectedError } from "../../../gateway/core/errors.ts";
import type { RtuTransport } from "../options.ts";
import { stopBitsOf } from "../wire.ts";

export interface LineEvents {
  data(chunk: Buffer): void;
  /** Once, after a successful `open`: unplugged, failed, or closed. */
  closed(reason: NotConnectedError): void;
}

/**
 * A serial port that is used once: after an error or a close the object is dead, because a reopened one sends what was
 * written while it was closed, or never delivers again.
 */
export class SerialLine {
  readonly #port: SerialPort;
  readonly #events: LineEvents;
  #failure: Error | undefined;
  #done = false;
  #closing: Promise<void> | undefined;

  constructor(line: RtuTransport, events: LineEvents) {
    this.#events = events;
    this.#port = new SerialPort({
      path: line.path,
      baudRate: line.baud,
      parity: line.parity,
      dataBits: line.dataBits,
      stopBits: stopBitsOf(line),
      lock: true,
      autoOpen: false,
    });
    this.#port.on("data", (chunk: Buffer) => events.data(chunk));
    this.#port.on("error", (error) => this.#fail(error));
    this.#port.once("close", (error?: Error | null) => this.#end(error ?? undefined));
  }

  /** @throws NotConnectedError. */
  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#port.open((error) => {
        if (error) reject(new NotConnectedError(messageOf(error), { cause: error }));
        else resolve();
      });
    });
  }

  /** Drops what the system received and nobody has read. Failures end the line by themselves. */
  flush(): Promise<void> {
    return new Promise((resolve) => this.#port.flush(() => resolve()));
  }

  write(bytes: Buffer): void {
    this.#port.write(bytes, (error) => {
      if (error) this.#fail(error);
    });
  }

  /** Idempotent, never rejects; resolves when the lock of the port is free again, whoever began to close it. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #close(): Promise<void> {
    return new Promise((resolve) => {
      if (!this.#port.isOpen) {
        this.#end();
        resolve();
        return;
      }
      this.#port.close(() => {
        this.#end();
        resolve();
      });
    });
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    void this.close();
  }

  #end(error?: Error): void {
    if (this.#done) return;
    this.#done = true;
    const cause = this.#failure ?? error;
    this.#events.closed(new NotConnectedError(cause ? messageOf(cause) : "the serial port was closed", { cause }));
  }
}
