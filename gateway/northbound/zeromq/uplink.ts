import { NotConnectedError } from "../../core/errors.ts";
import type { UplinkContext } from "../../core/uplink.ts";
import { type Carrier, ListedUplink } from "../listed-uplink.ts";
import type { ServerList } from "../mqtt/servers.ts";
import { DealerSending } from "./dealer.ts";
import { Line, type Opened } from "./line.ts";
import { LossySending } from "./lossy.ts";
import type { ZeroMqOptions } from "./options.ts";
import type { Sending } from "./sending.ts";

/** ZeroMQ (the package zeromq, loaded when it is first needed): DEALER with answers, or PUSH and PUB without. */
export class ZeroMqUplink extends ListedUplink<Carrier> {
  readonly #options: ZeroMqOptions;
  readonly #context: UplinkContext;

  constructor(options: ZeroMqOptions, context: UplinkContext, servers: ServerList) {
    super(options, servers);
    this.#options = options;
    this.#context = context;
  }

  notice(): string | undefined {
    return lossOf(this.#options.pattern);
  }

  protected async open(url: string, onEnd: (error: Error) => void, signal: AbortSignal): Promise<Carrier> {
    const line = new Line(this.#lineSettings(url));
    const cancel = () => line.end(new NotConnectedError("no longer wanted"));
    signal.addEventListener("abort", cancel, { once: true });
    try {
      const opened = await line.open();
      if (line.lost) throw line.lost;
      const sending = this.#sendingOver(opened, line);
      line.onEnd = (error) => {
        sending.ended(error);
        onEnd(error);
      };
      return {
        send: (batch, verdict, sendSignal) => sending.send(batch, verdict, sendSignal),
        close: () => {
          line.end(new NotConnectedError("the uplink is closed"));
          return Promise.resolve();
        },
      };
    } finally {
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
