import type { TagWrite, WriteResult } from "../core/driver.ts";
import { NotConnectedError, RejectedError } from "../core/errors.ts";
import type { Station } from "./station.ts";

/** More than this waiting means that somebody writes in a loop; what is refused can be sent again later. */
const MOST_WAITING = 100;

/** A write that waits for the wire, or is on it. */
export interface WriteJob {
  readonly kind: "write";
  readonly station: Station;
  readonly writes: readonly TagWrite[];
  readonly resolve: (results: WriteResult[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Writes of one connection, in the order they came. Whatever leaves it unsent was not done, and says so. */
export class WriteQueue {
  #jobs: WriteJob[] = [];

  /**
   * Resolves with the device's answer, one result per write.
   * @throws RejectedError when too many wait; the signal's reason when it aborts before the write is sent; else what `reject` of the job is given.
   */
  push(station: Station, writes: readonly TagWrite[], signal: AbortSignal): Promise<WriteResult[]> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#jobs.length >= MOST_WAITING) {
      return Promise.reject(new RejectedError(`${MOST_WAITING} writes wait already: try again later`));
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        // Once it is taken it may be done: its answer tells.
        if (!this.#jobs.includes(job)) return;
        this.#jobs = this.#jobs.filter((each) => each !== job);
        reject(signal.reason);
      };
      const done = () => signal.removeEventListener("abort", onAbort);
      const job: WriteJob = {
        kind: "write",
        station,
        writes,
        resolve: (results) => {
          done();
          resolve(results);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#jobs.push(job);
    });
  }

  /** The next one; it can no longer be taken back. */
  take(): WriteJob | undefined {
    return this.#jobs.shift();
  }

  /** The connection is gone before they were sent. */
  fail(why: Error | undefined): void {
    const jobs = this.#jobs;
    this.#jobs = [];
    for (const job of jobs) {
      job.reject(new NotConnectedError("the link is down, the write was not sent", { cause: why }));
    }
  }
}
