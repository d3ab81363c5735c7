import type { Clock } from "../../gateway/core/clock.ts";
import type { Capture, CapturedFrame, Ends, Passed, Sifter } from "../../gateway/core/recording.ts";
import { CaptureWriter } from "../../gateway/recorder/capture-writer.ts";

/** A clock that stands until it is moved. */
export class HandClock implements Clock {
  readonly bootId = "test";
  monoMs = 1_000;
  /** Wall minus monotonic. */
  offsetMs = 1_700_000_000_000;

  now() {
    return { wallMs: this.monoMs + this.offsetMs, monoMs: this.monoMs, clock: "synced" as const };
  }
}

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

/** What passed, as text: `> 00 01` was sent, `< 00` received, `open`, `close`; ten milliseconds apart, or at `@ms`. */
export function passedOf(connection: number, ...lines: readonly string[]): Passed[] {
  let atMs = 0;
  return lines.map((line): Passed => {
    const [, own, text = ""] = /^(?:@(\d+) )?(.*)$/.exec(line) ?? [];
    atMs = own === undefined ? atMs + 10 : Number(own);
    const when = { monoMs: 1_000 + atMs, wallMs: 1_700_000_000_000 + atMs, connection };
    if (text === "open") return { ...when, kind: "opened", ends: ENDS };
    if (text === "close") return { ...when, kind: "closed", reason: "closed" };
    const kind = text.startsWith(">") ? ("sent" as const) : ("received" as const);
    return { ...when, kind, bytes: hex(text.slice(1)), peer: 0 };
  });
}

export const ENDS: Ends = {
  local: { address: "192.0.2.1", port: 40_000 },
  remote: { address: "192.0.2.10", port: 1502 },
};

export function sifted(sifter: Sifter, passed: readonly Passed[]): CapturedFrame[] {
  return [...passed.flatMap((each) => sifter.take(each)), ...sifter.end()];
}

/** Frames as text: direction, bytes, `!` for noise. */
export function textOf(frames: readonly CapturedFrame[]): string[] {
  return frames.map(
    ({ kind, bytes, noise }) => `${kind === "sent" ? ">" : "<"}${noise ? "!" : ""} ${bytes.toString("hex")}`,
  );
}

export function fileOf(capture: Capture, passed: readonly Passed[], driver = "modbus", ends: Ends = ENDS): Buffer {
  const writer = new CaptureWriter({
    version: "1.2.3",
    gatewayId: "shop",
    link: "line",
    driver,
    reason: "asked for",
    capture,
    endsOf: () => ends,
    now: { wallMs: 1_700_000_000_000, monoMs: 1_000 },
  });
  return Buffer.concat([...writer.header(), ...passed.flatMap((each) => writer.take(each)), ...writer.end()]);
}
