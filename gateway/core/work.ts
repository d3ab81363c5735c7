/**
 * What a part is in the midst of that must come to an end by the part's own doing. What only the far side can end (an
 * answer, a connection, room upstream) is none: a dead device or a silent server is no fault of ours.
 */
export interface Work {
  /** What it is, as the rest of a sentence that begins with the part: `its uplink does not close`. */
  readonly doing: string;
  /** For how long, in milliseconds. */
  readonly forMs: number;
  /** How long it may take where all is well, in milliseconds; 0 where it should take no time at all. */
  readonly mayTakeMs: number;
}

/** A part that can be stuck: with work to do, and nothing done, neither well nor badly. */
export interface Worker {
  /** Kind and name, as people know it: `uplink cloud`, `link plc-1`, `queue events`. */
  readonly part: string;
  /** What it is in the midst of; undefined where there is nothing, or nothing of its own. No I/O; never throws. */
  work(): Work | undefined;
}
