import { stat } from "node:fs/promises";
import { SerialPort } from "serialport";
import { messageOf, NotConnectedError } from "../../../gateway/core/errors.ts";
import { holderOf } from "../../../gateway/host/file-holder.ts";
import type { SerialTransport } from "../options.ts";
import { stopBitsOf } from "../wire.ts";
import type { Channel, ChannelEvents } from "./channel.ts";

/**
 * A serial port that is used once: after an error or a close the object is dead, because a reopened one sends what was
 * written while it was closed, or never delivers again.
 */
export class SerialLine implements Channel {
  readonly #port: SerialPort;
  readonly #events: ChannelEvents;
  readonly #path: string;
  /** Which device the name stood for when it was opened. */
  #device: number | undefined;
  #checking = false;
  #failure: Error | undefined;
  #done = false;
  #closing: Promise<void> | undefined;

  constructor(line: SerialTransport, events: ChannelEvents) {
    this.#path = line.path;
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

  /** @throws NotConnectedError that names the program which has the port, where it may be known. */
  async open(): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => this.#port.open((error) => (error ? reject(error) : resolve())));
    } catch (error) {
      const holder = isBusy(error) ? await holderOf(this.#path) : undefined;
      const who =
        holder && `${this.#path} is in use by ${holder.program} (pid ${holder.pid}): stop it, or use another port`;
      throw new NotConnectedError(who ?? messageOf(error), { cause: error });
    }
    this.#device = await deviceAt(this.#path);
  }

  /** An adapter that was unplugged while it sent does not always say so (node-serialport/bindings-cpp#162). */
  check(): void {
    if (this.#checking || this.#device === undefined) return;
    this.#checking = true;
    void deviceAt(this.#path).then((device) => {
      this.#checking = false;
      if (device !== this.#device) this.#fail(new Error(`${this.#path} was unplugged`));
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

/** Number of the device a path leads to; undefined when it leads nowhere. */
async function deviceAt(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.rdev;
}

function isBusy(error: unknown): boolean {
  return /lock|busy|temporarily unavailable/i.test(messageOf(error));
}
