import { STREAMS, type StreamName } from "../core/record.ts";
import { Serial } from "./deferred.ts";
import { TwoSlotFile } from "./two-slot.ts";

/** What is on disk about a stream's counter. */
export interface SeqMark {
  /** Every seq below was or may have been given. */
  readonly reserved: number;
  /** True while a process gives seqs out of the reservation: found at a start, the last stop was unclean. */
  readonly open: boolean;
  /** Per chain slot the last selected seq; what a clean stop leaves for the next start. */
  readonly heads: Readonly<Record<string, number>>;
}

export type Marks = Record<StreamName, SeqMark>;

/** The file `state/seq`: a reservation is on disk before a seq out of it is given. */
export class SeqFile {
  readonly #file: TwoSlotFile;
  readonly #turns = new Serial();
  readonly #onWritten: (bytes: number, fsyncs: number) => void;
  #marks: Marks = { events: FRESH, telemetry: FRESH };

  constructor(path: string, onWritten: (bytes: number, fsyncs: number) => void) {
    this.#file = new TwoSlotFile(path);
    this.#onWritten = onWritten;
  }

  /** Gives the marks as the last run left them; undefined when there are none to trust. */
  async open(): Promise<Marks | undefined> {
    const { content } = await this.#file.open();
    if (!isMarks(content)) return undefined;
    this.#marks = content;
    return content;
  }

  /** Writes a mark, fsynced. @throws the system's error; the mark then counts as not written. */
  async write(stream: StreamName, mark: SeqMark): Promise<void> {
    await this.#turns.run(async () => {
      const next = { ...this.#marks, [stream]: mark };
      this.#onWritten(await this.#file.write({ format: 1, ...next }, true), 1);
      this.#marks = next;
    });
  }

  async close(): Promise<void> {
    await this.#turns.run(() => this.#file.close());
  }
}

export const FRESH: SeqMark = { reserved: 1, open: false, heads: {} };

export function isMarks(content: unknown): content is Marks {
  if (typeof content !== "object" || content === null) return false;
  const marks = content as Partial<Record<StreamName, Partial<Record<keyof SeqMark, unknown>>>>;
  return STREAMS.every((stream) => {
    const mark = marks[stream];
    return (
      Number.isSafeInteger(mark?.reserved) &&
      typeof mark?.open === "boolean" &&
      typeof mark.heads === "object" &&
      mark.heads !== null
    );
  });
}
