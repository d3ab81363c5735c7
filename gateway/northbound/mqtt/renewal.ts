import { messageOf } from "../../core/errors.ts";
import { type DialContext, tryFiles } from "./dial.ts";
import type { ExpiryWatch } from "./expiry.ts";
import type { MqttOptions } from "./options.ts";
import { readTlsFiles } from "./tls-files.ts";

type RenewalOptions = Pick<MqttOptions, "url" | "tls" | "preset" | "connectTimeout">;

/** While connected: finds renewed TLS files, tries them in a handshake of their own, and only then asks for a new connection. */
export class Renewal {
  readonly #options: RenewalOptions;
  readonly #context: DialContext;
  readonly #expiry: ExpiryWatch;
  readonly #renewed: () => void;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  /** @param renewed the new files work. */
  constructor(options: RenewalOptions, context: DialContext, expiry: ExpiryWatch, renewed: () => void) {
    this.#options = options;
    this.#context = context;
    this.#expiry = expiry;
    this.#renewed = renewed;
  }

  start(): void {
    const everyMs = this.#options.tls?.recheck ?? 60_000;
    this.#timer = setInterval(() => {
      this.#expiry.look(this.#context.clock);
      this.#running ??= this.#look().finally(() => {
        this.#running = undefined;
      });
    }, everyMs);
  }

  /** Idempotent, never rejects. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await this.#running;
  }

  async #look(): Promise<void> {
    const { log, memory, path } = this.#context;
    const timeout = AbortSignal.timeout(this.#options.connectTimeout);
    let digest = "";
    try {
      const fresh = readTlsFiles(this.#options.tls, path);
      digest = fresh.digest;
      if (digest === memory.good?.digest || memory.isRefused(digest)) return;
      await tryFiles(this.#options, fresh, this.#context, AbortSignal.any([timeout, this.#stopping.signal]));
      if (this.#stopping.signal.aborted) return;
      memory.works(fresh);
      log.info({}, "renewed TLS files work; connecting with them");
      this.#renewed();
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      // Files that cannot be read may be half written, and are read again.
      if (digest === "") return;
      memory.refuse(digest);
      log.warn({ reason: messageOf(error) }, "renewed TLS files do not work; the present connection stays");
    }
  }
}
