import type { GroupRun } from "./group-run.ts";
import type { Station } from "./station.ts";

export interface ReadyRead {
  readonly station: Station;
  readonly run: GroupRun;
}

/**
 * The read whose turn it is. As long as the line can do what is asked, that of the earliest deadline. Deadlines mean nothing
 * once it cannot: while a group waits whose rate or deadline was not kept, whoever has waited longest goes first, a request at a time. So
 * nobody waits for more than one request of every other group; a group that asks for less than its share of the line keeps
 * its rate, and the others share the rest alike.
 * @param isHeld whether the next request of a run must not be asked yet.
 */
export function nextRead(
  stations: readonly Station[],
  nowMs: number,
  isHeld: (run: GroupRun) => boolean,
): ReadyRead | undefined {
  let urgent: ReadyRead | undefined;
  let patient: ReadyRead | undefined;
  let late = false;
  for (const station of stations) {
    for (const run of station.runs) {
      if (!run.ready(nowMs) || isHeld(run)) continue;
      late ||= run.late || run.dueMs < nowMs;
      if (!urgent || run.dueMs < urgent.run.dueMs) urgent = { station, run };
      if (!patient || run.waitingMs < patient.run.waitingMs) patient = { station, run };
    }
  }
  return late ? patient : urgent;
}
