import type { Buffer } from "node:buffer";
import type { Capture, CapturedFrame, Ends, Passed } from "../core/recording.ts";
import { type MadePacket, type Scribe, scribeOf } from "./packets.ts";
import { ETHERNET, interfaceBlock, packetBlock, sectionHeader, USER0, USER1 } from "./pcapng.ts";

const FRAMES = 0;
const NOISE = 1;
const SOME_PORT = 49_152;

export interface CaptureAbout {
  /** The program's. */
  readonly version: string;
  readonly gatewayId: string;
  readonly link: string;
  readonly driver: string;
  /** Why it was written. */
  readonly reason: string;
  readonly capture: Capture;
  /** How a connection goes through IP, where that is known. */
  readonly endsOf: (connection: number) => Ends | undefined;
  /** One moment on both clocks: every time in the file goes by it, so that a step of the wall clock leaves no trace. */
  readonly now: { readonly wallMs: number; readonly monoMs: number };
}

/** Writes what passed on a link as pcapng, block by block. */
export class CaptureWriter {
  readonly #about: CaptureAbout;
  readonly #sifter: ReturnType<Capture["sifter"]>;
  readonly #scribes = new Map<number, Scribe>();
  /** What is to be told with the next packet. */
  #news: string[] = [];
  #packets = 0;

  constructor(about: CaptureAbout) {
    this.#about = about;
    this.#sifter = about.capture.sifter();
  }

  /** Packets so far. */
  get packets(): number {
    return this.#packets;
  }

  header(): Buffer[] {
    const { capture, driver, gatewayId, link, reason, version } = this.#about;
    const { at, layer, line, notes, transport, units } = capture;
    const rows = [
      `Millrace ${version}, flight recorder`,
      `gateway: ${gatewayId}`,
      `link: ${link}`,
      `driver: ${driver}`,
      `transport: ${transport}`,
      `at: ${at}`,
      ...(line === undefined ? [] : [`line: ${line}`]),
      `units: ${units}`,
      `reason: ${reason}`,
      ...notes.map((note) => `note: ${note}`),
    ];
    const description = `${driver} ${transport} ${at}; units ${units}`;
    const section = sectionHeader({ comment: rows.join("\n"), program: `Millrace ${version}` });
    if (layer !== "frames") return [section, interfaceBlock(ETHERNET, link, description)];
    return [
      section,
      interfaceBlock(USER0, link, description),
      interfaceBlock(USER1, `${link} (no frames)`, `bytes on ${link} that are no frame`),
    ];
  }

  /** So much passed that is not held any more. */
  lost(count: number): void {
    if (count > 0) this.#news.push(`${count} chunks before this were overwritten`);
  }

  take(passed: Passed): Buffer[] {
    const blocks = this.#sifter.take(passed).flatMap((frame) => this.#frame(frame));
    if (passed.kind === "opened") blocks.push(...this.#opened(passed));
    if (passed.kind === "closed") blocks.push(...this.#closed(passed));
    return blocks;
  }

  end(): Buffer[] {
    return this.#sifter.end().flatMap((frame) => this.#frame(frame));
  }

  #opened(passed: Passed & { kind: "opened" }): Buffer[] {
    if (this.#layer === "frames") {
      this.#news.push("connected");
      return [];
    }
    return this.#open(passed, "connected");
  }

  #closed(passed: Passed & { kind: "closed" }): Buffer[] {
    const news = `disconnected: ${passed.reason}`;
    const scribe = this.#scribes.get(passed.connection);
    this.#scribes.delete(passed.connection);
    const packets = scribe?.close() ?? [];
    if (packets.length === 0) this.#news.push(news);
    return this.#made(packets, passed, news);
  }

  #open(when: { connection: number; monoMs: number }, news: string): Buffer[] {
    const scribe = this.#scribeOf(when.connection);
    const packets = scribe.open();
    if (packets.length === 0) this.#news.push(news);
    return this.#made(packets, when, news);
  }

  #frame(frame: CapturedFrame): Buffer[] {
    const { bytes, comment, connection, kind, monoMs, noise = false } = frame;
    const inbound = kind === "received";
    if (this.#layer === "frames") {
      return [this.#packet({ interfaceId: noise ? NOISE : FRAMES, monoMs, bytes, inbound, comment })];
    }
    const opening = this.#scribes.has(connection)
      ? []
      : this.#open(frame, "the connection stood before this recording begins; its beginning is made up");
    return [...opening, ...this.#made(this.#scribeOf(connection).data(bytes, inbound), frame, comment)];
  }

  #made(packets: readonly MadePacket[], { monoMs }: { monoMs: number }, comment: string | undefined): Buffer[] {
    return packets.map(({ bytes, fromDevice }, index) =>
      this.#packet({
        interfaceId: FRAMES,
        monoMs,
        bytes,
        inbound: fromDevice,
        comment: index === 0 ? comment : undefined,
      }),
    );
  }

  #packet(packet: {
    interfaceId: number;
    monoMs: number;
    bytes: Buffer;
    inbound: boolean;
    comment: string | undefined;
  }): Buffer {
    const { wallMs, monoMs } = this.#about.now;
    const texts = [...this.#news, ...(packet.comment === undefined ? [] : [packet.comment])];
    this.#news = [];
    this.#packets++;
    return packetBlock({
      ...packet,
      wallMs: wallMs + packet.monoMs - monoMs,
      comment: texts.length === 0 ? undefined : texts.join("\n"),
    });
  }

  get #layer(): Capture["layer"] {
    return this.#about.capture.layer;
  }

  #scribeOf(connection: number): Scribe {
    const known = this.#scribes.get(connection);
    if (known) return known;
    const { capture, endsOf } = this.#about;
    const port = capture.port;
    const ends = endsOf(connection) ?? {
      local: { address: "127.0.0.1", port: SOME_PORT + (connection % 16_000) },
      remote: { address: "127.0.0.1", port: port ?? SOME_PORT - 1 },
    };
    const scribe = scribeOf(capture.layer === "udp" ? "udp" : "tcp", ends, port);
    this.#scribes.set(connection, scribe);
    return scribe;
  }
}
