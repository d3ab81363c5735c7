import type { Request, TagWrite, WriteResult } from "../core/driver.ts";
import { NotConnectedError, RejectedError } from "../core/errors.ts";
import type { Sample } from "../core/sample.ts";
import type { Station } from "./station.ts";

/** More than this waiting means that somebody asks in a loop; what is refused can be sent again later. */
const MOST_WAITING = 100;

/** A write that waits for the wire, or is on it. */
export interface WriteJob {
  readonly kind: "write";
  readonly station: Station;
  readonly writes: readonly TagWrite[];
  readonly resolve: (results: WriteResult[]) => void;
  readonly reject: (error: unknown) => void;
}

/** A question that somebody waits for, outside the scan groups. */
export interface AskJob {
  readonly kind: "ask";
  readonly station: Station;
  readonly request: Request;
  readonly resolve: (samples: Sample[]) => void;
  readonly reject: (error: unknown) => void;
}

export type UrgentJob = WriteJob | AskJob;

/** What somebody waits for on one connection, in the order it came. Whatever leaves it unsent was not done, and says so. */
export class UrgentQueue {
  #jobs: UrgentJob[] = [];

  /**
   * Resolves with the device's answer, one result per write.
   * @throws RejectedError when too many wait; the signal's reason when it aborts before the write is sent; else what `reject` of the job is given.
   */
  write(station: Station, writes: readonly TagWrite[], signal: AbortSignal): Promise<WriteResult[]> {
    return this.#push<WriteResult[]>("writes", signal, (ends) => ({ kind: "write", station, writes, ...ends }));
  }

  /** Resolves with the samples of the request. @throws as `write`. */
  ask(station: Station, request: Request, signal: AbortSignal): Promise<Sample[]> {
    return this.#push<Sample[]>("questions", signal, (ends) => ({ kind: "ask", station, request, ...ends }));
  }

  /** The next one that may go, but none before an older one to the same device; it can no longer be taken back. */
  take(mayGo: (job: UrgentJob) => boolean): UrgentJob | undefined {
    const held = new Set<Station>();
    for (const [at, job] of this.#jobs.entries()) {
      if (!held.has(job.station) && mayGo(job)) {
        this.#jobs.splice(at, 1);
        return job;
      }
      held.add(job.station);
    }
    return undefined;
  }

  get waiting(): readonly UrgentJob[] {
    return this.#jobs;
  }

  /** The connection is gone before they were sent. */
  fail(why: Error | undefined): void {
    const jobs = this.#jobs;
    this.#jobs = [];
    for (const job of jobs) {
      const what = job.kind === "write" ? "write" : "question";
      job.reject(new NotConnectedError(`the link is down, the ${what} was not sent`, { cause: why }));
    }
  }

  #push<T>(
    what: string,
    signal: AbortSignal,
    make: (ends: { resolve: (result: T) => void; reject: (error: unknown) => void }) => UrgentJob,
  ): Promise<T> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#jobs.length >= MOST_WAITING) {
      return Promise.reject(new RejectedError(`${MOST_WAITING} ${what} wait already: try again later`));
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        // Once it is taken it may be done: its answer tells.
        if (!this.#jobs.includes(job)) return;
        this.#jobs = this.#jobs.filter((each) => each !== job);
        reject(signal.reason);
      };
      const done = () => signal.removeEventListener("abort", onAbort);
      const job = make({
        resolve: (result) => {
          done();
          resolve(result);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      signal.addEventListener("abort", onAbort, { once: true });
      this.#jobs.push(job);
    });
  }
}
