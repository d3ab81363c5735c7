import { stat } from "node:fs/promises";
import { SerialPort } from "serialport";
import { messageOf, NotConnectedError } from "../../../gateway/core/errors.ts";
import { holderOf } from "../../../gateway/host/file-holder.ts";
import type { SerialTransport } from "../options.ts";
import type { Line, LineEvents } from "./line.ts";

/** A port that is pulled out while it receives may never say so; its name in the file system does. */
const LOOK_MS = 2_000;
const PEER = 0;

/**
 * A serial port that is used once: a reopened one sends what was written while it was closed, or never delivers again.
 */
export class SerialLine implements Line {
  readonly #path: string;
  readonly #port: SerialPort;
  readonly #events: LineEvents;
  #opening: Promise<void> = Promise.resolve();
  #look: NodeJS.Timeout | undefined;
  #failure: Error | undefined;
  #opened = false;
  #done = false;
  #closing: Promise<void> | undefined;

  constructor(transport: SerialTransport, events: LineEvents) {
    const { path, baud, parity, dataBits, stopBits, flow } = transport;
    this.#path = path;
    this.#events = events;
    this.#port = new SerialPort({
      path,
      baudRate: baud,
      parity,
      dataBits,
      stopBits,
      rtscts: flow === "rts-cts",
      xon: flow === "xon-xoff",
      xoff: flow === "xon-xoff",
      lock: true,
      autoOpen: false,
    });
    this.#port.on("data", (chunk: Buffer) => events.data(chunk, PEER));
    this.#port.on("error", (error) => this.#fail(error));
    this.#port.once("close", (error?: Error | null) => this.#end(error ?? undefined));
  }

  open(): Promise<void> {
    const opening = this.#open();
    this.#opening = opening.catch(() => {});
    return opening;
  }

  write(bytes: Buffer): void {
    this.#port.write(bytes, (error) => {
      if (error) this.#fail(error);
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #open(): Promise<void> {
    const failure = await new Promise<Error | null>((resolve) => this.#port.open(resolve));
    if (failure) throw new NotConnectedError(await explain(failure, this.#path), { cause: failure });
    this.#opened = true;
    const { rdev, ino } = await stat(this.#path).catch(() => ({ rdev: -1, ino: -1 }));
    const look = (): void => {
      this.#look = setTimeout(() => {
        void stat(this.#path).then(
          (now) => (now.rdev === rdev && now.ino === ino ? this.#done || look() : this.#fail(gone())),
          () => this.#fail(gone()),
        );
      }, LOOK_MS);
    };
    if (!this.#done) look();
  }

  async #close(): Promise<void> {
    // A port that is still being opened cannot be closed.
    await this.#opening;
    clearTimeout(this.#look);
    if (this.#port.isOpen) await new Promise<void>((resolve) => this.#port.close(() => resolve()));
    this.#end();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    void this.close();
  }

  #end(error?: Error): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#look);
    const cause = this.#failure ?? error;
    const message = cause ? messageOf(cause) : "the serial port was closed";
    if (this.#opened) this.#events.closed(new NotConnectedError(message, { cause }));
  }
}

function gone(): Error {
  return new Error("the serial port is gone");
}

/** What the operating system says about a port, in words that help. */
async function explain(error: Error, path: string): Promise<string> {
  const text = messageOf(error);
  if (/lock/i.test(text)) {
    const holder = await holderOf(path);
    return `${path} is in use by ${holder ? `${holder.program} (pid ${holder.pid})` : "another program"}: only one can have it`;
  }
  if (/no such file/i.test(text)) return `${path} is not there: plugged in? \`ls /dev/serial/by-id\` shows what is`;
  if (/permission denied/i.test(text)) return `${path} may not be opened: add the gateway's user to the group dialout`;
  return text;
}
