import type { DriverContext } from "../../gateway/core/driver.ts";
import type { Counter } from "../../gateway/core/metrics.ts";
import { hexOf, printable } from "./bytes.ts";
import type { FaultKind } from "./framing/framer.ts";

/**
 * What became of telegrams: `taken`; `unreadable` did not parse; `duplicate` came again within the hold-off; `spared` came
 * sooner than `minInterval`; `late` answered a question that was given up; `unasked` was meant for nobody; `echo` was the question;
 * `refused` was a connection; `not-kept` could not be stored, and was not accepted; the rest as in framing.
 */
export type TelegramKind =
  | FaultKind
  | "taken"
  | "unreadable"
  | "duplicate"
  | "spared"
  | "late"
  | "unasked"
  | "echo"
  | "refused"
  | "not-kept";

const AGAIN_MS = 60_000;

/** Counts telegrams, and tells of those that are not understood with their bytes: the first, then one a minute. */
export class Reporter {
  readonly #context: DriverContext;
  readonly #telegrams: Counter;
  readonly #bytes: Counter;
  readonly #told = new Map<string, { atMs: number; since: number }>();

  constructor(context: DriverContext) {
    this.#context = context;
    const help = "Telegrams of serial devices, by what became of them.";
    this.#telegrams = context.metrics.counter("millrace_serial_telegrams_total", help, ["link", "kind"]);
    this.#bytes = context.metrics.counter("millrace_serial_received_bytes_total", "Bytes from serial devices.", [
      "link",
    ]);
  }

  received(bytes: number): void {
    this.#bytes.inc({ link: this.#context.link }, bytes);
  }

  count(kind: TelegramKind): void {
    this.#telegrams.inc({ link: this.#context.link, kind });
  }

  /** A telegram that could not be kept; its device was told, or says it again. */
  refused(device: string, reason: string): void {
    this.count("not-kept");
    const key = `not-kept ${device}`;
    const nowMs = this.#context.clock.now().monoMs;
    const told = this.#told.get(key);
    if (told && nowMs - told.atMs < AGAIN_MS) {
      told.since++;
      return;
    }
    this.#told.set(key, { atMs: nowMs, since: 0 });
    this.#context.log.warn(
      { device, reason, more: told?.since ?? 0 },
      "a telegram could not be kept; its device repeats it",
    );
  }

  /** Counts it, and logs it unless the same kind was logged within the last minute. */
  fault(kind: TelegramKind, reason: string, bytes: Uint8Array, device?: string): void {
    this.count(kind);
    const key = `${kind} ${device ?? ""}`;
    const nowMs = this.#context.clock.now().monoMs;
    const told = this.#told.get(key);
    if (told && nowMs - told.atMs < AGAIN_MS) {
      told.since++;
      return;
    }
    this.#told.set(key, { atMs: nowMs, since: 0 });
    this.#context.log.warn(
      {
        kind,
        reason,
        ...(device === undefined ? {} : { device }),
        bytes: hexOf(bytes),
        text: printable(bytes),
        length: bytes.length,
        more: told?.since ?? 0,
      },
      "telegram not understood",
    );
  }
}
