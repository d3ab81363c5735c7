import { NotConnectedError } from "../../core/errors.ts";
import { formatDuration } from "../../core/options/units.ts";
import type { Outgoing, Uplink, UplinkContext, UplinkLimits, Verdict } from "../../core/uplink.ts";
import type { ServerList } from "../mqtt/servers.ts";
import { monotonicMs } from "../pause.ts";
import { DealerSending } from "./dealer.ts";
import { Line, type Opened } from "./line.ts";
import { LossySending } from "./lossy.ts";
import type { ZeroMqOptions } from "./options.ts";
import type { Sending } from "./sending.ts";

const CLOSED = "the uplink is closed";
/** The connection watches for itself. */
const NEVER_MS = 86_400_000;

/** ZeroMQ (the package zeromq, loaded when it is first needed): DEALER with answers, or PUSH and PUB without. */
export class ZeroMqUplink implements Uplink {
  readonly #options: ZeroMqOptions;
  readonly #context: UplinkContext;
  readonly #servers: ServerList;
  #line: Line | undefined;
  #sending: Sending | undefined;
  #closed = false;

  constructor(options: ZeroMqOptions, context: UplinkContext, servers: ServerList) {
    this.#options = options;
    this.#context = context;
    this.#servers = servers;
  }

  async connect(onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    if (this.#closed) throw new NotConnectedError(CLOSED);
    signal.throwIfAborted();
    const failures: Error[] = [];
    for (const url of this.#servers.order()) {
      try {
        return await this.#connectTo(url, onLost, signal);
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (this.#closed || !(error instanceof Error)) throw error;
        failures.push(error);
      }
    }
    throw failures.find((error) => error instanceof NotConnectedError) ?? failures[0] ?? new NotConnectedError(CLOSED);
  }

  send(batch: readonly Outgoing[], verdict: (index: number, v: Verdict) => void, signal: AbortSignal): Promise<void> {
    if (this.#sending !== undefined && !this.#closed) return this.#sending.send(batch, verdict, signal);
    const reason = this.#closed ? CLOSED : "not connected";
    for (const index of batch.keys()) verdict(index, { kind: "retry", reason, unanswered: "unsent" });
    return Promise.reject(new NotConnectedError(reason));
  }

  notice(): string | undefined {
    return lossOf(this.#options.pattern);
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#line?.end(new NotConnectedError(CLOSED));
    return Promise.resolve();
  }

  async #connectTo(url: string, onLost: (error: Error) => void, signal: AbortSignal): Promise<UplinkLimits> {
    const { connectTimeout, inFlight, maxMessage } = this.#options;
    const line = new Line(this.#lineSettings(url));
    this.#line = line;
    const cancel = () => line.end(new NotConnectedError("no longer wanted"));
    signal.addEventListener("abort", cancel, { once: true });
    const late = new NotConnectedError(`${url}: no connection within ${formatDuration(connectTimeout)}`);
    const timer = setTimeout(() => line.end(late), connectTimeout);
    try {
      const opened = await line.open();
      if (line.lost) throw line.lost;
      const sending = this.#sendingOver(opened, line);
      this.#sending = sending;
      const startedMs = monotonicMs();
      line.onEnd = (error) => {
        sending.ended(error);
        if (this.#closed) return;
        this.#servers.lost(url, monotonicMs() - startedMs);
        onLost(error);
      };
      return { inFlight, maxBytes: maxMessage, properties: true, ackTimeoutMs: NEVER_MS };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
    }
  }

  #sendingOver(opened: Opened, line: Line): Sending {
    const { inFlight, ackTimeout, maxMessage } = this.#options;
    if ("lossy" in opened) return new LossySending(opened.lossy, line, maxMessage);
    return new DealerSending(opened.dealer, line, {
      ...{ inFlight, ackTimeoutMs: ackTimeout, maxMessage },
      log: this.#context.log,
    });
  }

  #lineSettings(url: string) {
    const { pattern, heartbeat, connectTimeout, inFlight, curve } = this.#options;
    const { serverKey, publicKey, secretKey } = curve ?? {};
    const own =
      publicKey === undefined || secretKey === undefined
        ? undefined
        : { publicKey, secretKey: this.#context.secret(secretKey).reveal() };
    return {
      ...{
        url,
        pattern,
        heartbeatMs: heartbeat,
        connectTimeoutMs: connectTimeout,
        most: pattern === "dealer" ? 0 : inFlight,
      },
      ...(serverKey === undefined ? {} : { curve: { serverKey, own } }),
    };
  }
}

/** What a person has to know of a pattern that loses; undefined for the one that does not. */
export function lossOf(pattern: ZeroMqOptions["pattern"]): string | undefined {
  if (pattern === "dealer") return undefined;
  const how = pattern === "push" ? "when it goes away" : "when it goes away or is slow";
  return `pattern ${pattern} is lossy: what the receiver has not read ${how} is lost, and counts as delivered; use dealer`;
}
