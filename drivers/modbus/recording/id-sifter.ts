import type { CapturedFrame, Passed, Sifter } from "../../../gateway/core/recording.ts";
import { HEADER, lengthIn } from "../ports/mbap.ts";

interface Connection {
  /** Whether the place of the next header is known. */
  settled: boolean;
  /** Transaction ids that were asked with; none where ids are not to be believed. */
  readonly ids: Set<number>;
  left: number;
}

/**
 * Modbus over TCP and UDP stays as it passed. Only a recording that begins within a connection may begin within a frame: what
 * stands before the first whole answer is left out, because whoever reads the rest would lose the place.
 */
export class IdSifter implements Sifter {
  readonly #isStream: boolean;
  readonly #trustIds: boolean;
  readonly #connections = new Map<number, Connection>();

  constructor({ isStream, trustIds }: { isStream: boolean; trustIds: boolean }) {
    this.#isStream = isStream;
    this.#trustIds = trustIds;
  }

  take(passed: Passed): readonly CapturedFrame[] {
    if (passed.kind === "closed") {
      this.#connections.delete(passed.connection);
      return [];
    }
    if (passed.kind === "opened") {
      this.#connections.set(passed.connection, { settled: true, ids: new Set(), left: 0 });
      return [];
    }
    const connection = this.#connectionOf(passed.connection);
    const { bytes, kind, connection: number, monoMs, wallMs } = passed;
    const frame = { kind, bytes, connection: number, monoMs, wallMs };
    if (connection.settled) return [frame];
    if (kind === "sent") {
      if (bytes.length >= HEADER) connection.ids.add(bytes.readUInt16BE(0));
      return [frame];
    }
    if (!this.#isAnswer(bytes, connection.ids)) {
      connection.left += bytes.length;
      return [];
    }
    connection.settled = true;
    if (connection.left === 0) return [frame];
    return [{ ...frame, comment: `${connection.left} bytes before this are left out: they begin within a frame` }];
  }

  end(): readonly CapturedFrame[] {
    return [];
  }

  #isAnswer(bytes: Buffer, ids: ReadonlySet<number>): boolean {
    if (ids.size === 0 || bytes.length < HEADER || lengthIn(bytes, 0) === undefined) return false;
    return !this.#trustIds || ids.has(bytes.readUInt16BE(0));
  }

  #connectionOf(number: number): Connection {
    const known = this.#connections.get(number);
    if (known) return known;
    const made = { settled: !this.#isStream, ids: new Set<number>(), left: 0 };
    this.#connections.set(number, made);
    return made;
  }
}
