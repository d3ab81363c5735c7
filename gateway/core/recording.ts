import type { Device } from "./driver.ts";
import type { Logger } from "./log.ts";

/** One end of a connection through IP. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}
export interface Ends {
  readonly local: Endpoint;
  readonly remote: Endpoint;
}

/** Told of what passes on a link while it passes. Never throws, and keeps nothing of the bytes it is given. */
export interface Tap {
  /** A connection stands; `ends` where it goes through IP. */
  opened(ends?: Ends): void;
  sent(bytes: Uint8Array): void;
  /** As it arrived. `peer` tells connections apart where there can be several at once. */
  received(bytes: Uint8Array, peer?: number): void;
  closed(reason: string): void;
  /** Something that a person may want to look into: an answer to no question, a telegram that cannot be read. */
  fault(reason: string): void;
}

/** When something passed, and on which connection; these are numbered from 1 over the life of the gateway. */
interface Passing {
  readonly wallMs: number;
  readonly monoMs: number;
  readonly connection: number;
}

/** What a tap was told, as the flight recorder gives it back. */
export type Passed = Passing &
  (
    | { readonly kind: "opened"; readonly ends: Ends | undefined }
    | { readonly kind: "sent" | "received"; readonly bytes: Buffer; readonly peer: number }
    | { readonly kind: "closed"; readonly reason: string }
  );

/** What becomes one packet of a capture. */
export interface CapturedFrame extends Passing {
  readonly kind: "sent" | "received";
  readonly bytes: Buffer;
  /** For people. */
  readonly comment?: string;
  /** Bytes that are no frame of the protocol; they go where no dissector tries to read them. */
  readonly noise?: boolean;
}

/** Makes whole frames of what passed, in order. */
export interface Sifter {
  take(passed: Passed): readonly CapturedFrame[];
  /** What has not become a frame until the end. */
  end(): readonly CapturedFrame[];
}

/** How the traffic of a link is written into a capture. */
export interface Capture {
  /** As packets of that protocol, or as bare frames of a link type for users. */
  readonly layer: "tcp" | "udp" | "frames";
  /** The port that the device's end is given, for dissectors that go by it; its own where absent. */
  readonly port?: number;
  /** How frames lie on the wire; a replay goes by it. */
  readonly transport: string;
  /** Where the device is: `192.0.2.10:502`, `/dev/ttyS1`. */
  readonly at: string;
  /** Settings of a serial line: `19200 8E1`. */
  readonly line?: string;
  /** Who answers there, for people. */
  readonly units: string;
  /** How a person makes Wireshark decode it, one line each. */
  readonly notes: readonly string[];
  sifter(): Sifter;
}

/** A packet of a recording that is read again. */
export interface RecordedPacket {
  readonly fromDevice: boolean;
  readonly bytes: Buffer;
  /** Milliseconds since the first packet of the recording. */
  readonly atMs: number;
  readonly connection: number;
  readonly noise: boolean;
}

/** A capture that was read again: of a flight recorder, or of another program. */
export interface Recording {
  /** Name of the driver that recorded it; undefined where another program did. */
  readonly driver: string | undefined;
  readonly link: string | undefined;
  /** As in `Capture`; `tcp`, `udp` or `rtu` where another program made it. */
  readonly transport: string;
  readonly line: string | undefined;
  readonly packets: readonly RecordedPacket[];
}

export interface ReplayOptions {
  /** TCP or UDP port to answer at, on loopback; 0 takes a free one. */
  readonly port?: number | undefined;
  /** Serial port to answer at. */
  readonly path?: string | undefined;
  /** After the last recorded answer to a question: give it again, begin with the first one, or say nothing any more. */
  readonly atEnd: "repeat" | "loop" | "silence";
  /** Whether answers take as long as they took. */
  readonly delays: boolean;
  /** What a question gets that was never recorded. */
  readonly unknown: "exception" | "silence";
}

export interface Replay {
  /** Where it can be reached. */
  readonly address: string;
  /** What is played, for people: `3 questions, 1200 answers`. */
  readonly content: string;
  /** Idempotent, never rejects. */
  stop(): Promise<void>;
}

/** What a driver knows about recordings of its links. */
export interface RecordingModule {
  capture(linkOptions: unknown, devices: readonly Device[]): Capture;
  /** A device in software that answers as recorded. @throws ConfigError. */
  replay(recording: Recording, options: ReplayOptions, log: Logger): Promise<Replay>;
}
