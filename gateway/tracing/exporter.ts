import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Counter, Metrics } from "../core/metrics.ts";
import { type Origin, otlpBody, type Span } from "./span.ts";

export interface ExporterParts {
  /** Base URL of the collector. */
  readonly endpoint: string;
  readonly origin: Origin;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Milliseconds between requests, default 5 s. */
  readonly everyMs?: number;
  /** For one request, default 10 s. */
  readonly timeoutMs?: number;
}

const EVERY_MS = 5_000;
const TIMEOUT_MS = 10_000;
const STOP_MS = 1_000;
const MOST_WAITING = 2_048;
const MOST_AT_ONCE = 512;

/**
 * Brings spans to a collector, one request at a time. Nobody waits for it, and nothing is kept for a collector that is away:
 * what it does not take is dropped and counted.
 */
export class OtlpExporter {
  readonly #parts: ExporterParts;
  readonly #url: string;
  readonly #spans: Counter;
  readonly #requests: Counter;
  #waiting: Span[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #stopped = new AbortController();
  #failing = false;

  constructor(parts: ExporterParts) {
    this.#parts = parts;
    this.#url = `${parts.endpoint.replace(/\/+$/, "")}/v1/traces`;
    this.#spans = parts.metrics.counter("millrace_trace_spans_total", "Spans of traces, by what became of them.", [
      "result",
    ]);
    this.#requests = parts.metrics.counter(
      "millrace_trace_request_errors_total",
      "Requests that the collector of traces did not take.",
    );
    for (const result of ["sent", "dropped"]) this.#spans.inc({ result }, 0);
  }

  start(): void {
    if (this.#timer) return;
    this.#stopped = new AbortController();
    this.#timer = setInterval(() => this.#flush(), this.#parts.everyMs ?? EVERY_MS);
  }

  /** Never waits, never throws. */
  add(span: Span): void {
    if (this.#waiting.length >= MOST_WAITING) this.#spans.inc({ result: "dropped" });
    else this.#waiting.push(span);
  }

  /** Sends what is left, for at most a second. Idempotent, never rejects. */
  async stop(): Promise<void> {
    if (!this.#timer) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    const late = setTimeout(() => this.#stopped.abort(new Error("the gateway stops")), STOP_MS);
    await this.#sending;
    while (this.#waiting.length > 0) await this.#send(this.#waiting.splice(0, MOST_AT_ONCE));
    clearTimeout(late);
  }

  #flush(): void {
    if (this.#sending || this.#waiting.length === 0) return;
    this.#sending = this.#send(this.#waiting.splice(0, MOST_AT_ONCE)).then(() => {
      this.#sending = undefined;
      // A full load was not all of it.
      if (this.#timer && this.#waiting.length >= MOST_AT_ONCE) this.#flush();
    });
  }

  async #send(spans: readonly Span[]): Promise<void> {
    const { origin, log, endpoint, timeoutMs = TIMEOUT_MS } = this.#parts;
    try {
      const response = await fetch(this.#url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: otlpBody(spans, origin),
        redirect: "error",
        signal: AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(timeoutMs)]),
      });
      await response.body?.cancel();
      if (!response.ok) throw new Error(`it answers ${response.status} ${response.statusText}`);
      this.#spans.inc({ result: "sent" }, spans.length);
      if (this.#failing) log.info({ endpoint }, "the collector takes traces again");
      this.#failing = false;
    } catch (error) {
      this.#spans.inc({ result: "dropped" }, spans.length);
      this.#requests.inc();
      const cure = "see telemetry.otlp.endpoint, and whether a collector listens there";
      if (!this.#failing) log.warn({ endpoint, reason: reasonOf(error), cure }, "the collector does not take traces");
      this.#failing = true;
    }
  }
}

/** fetch hides why in the cause. */
function reasonOf(error: unknown): string {
  return error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : messageOf(error);
}
