import { NotConnectedError } from "../core/errors.ts";
import type { Outgoing, Uplink, UplinkLimits, Verdict } from "../core/uplink.ts";
import { Attempt } from "./attempt.ts";
import type { ServerList } from "./mqtt/servers.ts";
import { monotonicMs } from "./pause.ts";

const CLOSED = "the uplink is closed";
/** The connection watches for itself: only it knows when the far side has a reason not to answer. */
const NEVER_MS = 86_400_000;

/** What carries messages over one connection. */
export interface Carrier extends Pick<Uplink, "send"> {
  /** Idempotent, never rejects. */
  close(): Promise<void>;
}

export interface ListedOptions {
  readonly connectTimeout: number;
  readonly inFlight: number;
  readonly maxMessage: number;
}

/** An uplink to one of several servers, tried in order: what connecting, sending and closing have in common, whatever is spoken. */
export abstract class ListedUplink<C extends Carrier> implements Uplink {
  readonly #options: ListedOptions;
  readonly #servers: ServerList;
  #carrier: C | undefined;
  #attempt: Attempt | undefined;
  #closed = false;

  protected constructor(options: ListedOptions, servers: ServerList) {
    this.#options = options;
    this.#servers = servers;
  }

  /**
   * A connection to one server that can take messages. Frees what it has, and rejects, when the signal is aborted.
   * @param onEnd called once when it ends by itself.
   * @throws NotConnectedError, ConfigError.
   */
  protected abstract open(url: string, onEnd: (error: Error) => void, signal: AbortSignal): Promise<C>;

  abstract notice(): string | undefined;

  async connect(onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    if (this.#closed) throw new NotConnectedError(CLOSED);
    signal.throwIfAborted();
    const failures: Error[] = [];
    for (const url of this.#servers.order()) {
      try {
        return await this.#connectTo(url, onLost, signal);
      } catch (error) {
        if (signal.aborted || this.#closed || !(error instanceof Error)) throw error;
        failures.push(error);
      }
    }
    throw failures.find((error) => error instanceof NotConnectedError) ?? failures[0] ?? new NotConnectedError(CLOSED);
  }

  send(batch: readonly Outgoing[], verdict: (index: number, v: Verdict) => void, signal: AbortSignal): Promise<void> {
    if (this.#carrier !== undefined && !this.#closed) return this.#carrier.send(batch, verdict, signal);
    const reason = this.#closed ? CLOSED : "not connected";
    for (const index of batch.keys()) verdict(index, { kind: "retry", reason, unanswered: "unsent" });
    return Promise.reject(new NotConnectedError(reason));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#attempt?.cancel(new NotConnectedError(CLOSED));
    await this.#carrier?.close();
  }

  /** The present connection, or the last one. */
  protected get carrier(): C | undefined {
    return this.#carrier;
  }

  async #connectTo(url: string, onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    const { connectTimeout, inFlight, maxMessage } = this.#options;
    const attempt = new Attempt();
    this.#attempt = attempt;
    let startedMs = monotonicMs();
    const onEnd = (error: Error) => {
      if (this.#closed) return;
      this.#servers.lost(url, monotonicMs() - startedMs);
      onLost(error);
    };
    try {
      const within = { timeoutMs: connectTimeout, place: new URL(url).host || url };
      this.#carrier = await attempt.run((mine) => this.open(url, onEnd, mine), within, signal);
      startedMs = monotonicMs();
      if (this.#closed) {
        // Closed in the very turn in which it was opened.
        await this.#carrier.close();
        throw new NotConnectedError(CLOSED);
      }
      return { inFlight, maxBytes: maxMessage, properties: true, ackTimeoutMs: NEVER_MS };
    } finally {
      this.#attempt = undefined;
    }
  }
}
