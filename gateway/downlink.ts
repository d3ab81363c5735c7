import type { Answer, CommandMessage } from "./commands/commands.ts";
import type { Logger } from "./core/log.ts";
import type { Counter, Metrics } from "./core/metrics.ts";
import type { AcceptRule } from "./core/options/accept.ts";
import type { Downlink, Incoming, Taken } from "./core/uplink.ts";
import { acceptedAs, localTopicFault } from "./northbound/accept.ts";
import { isOwn } from "./northbound/own-messages.ts";

/** What takes commands, as far as what comes down needs it. */
export interface DownCommands {
  matches(topic: string): boolean;
  isResult(topic: string): boolean;
  take(message: CommandMessage): Promise<void>;
  answerFor(uplink: string, topic: string, payload: Uint8Array): Answer | undefined;
}

/** A message for local clients. */
export interface DownMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
}

export interface DownlinkParts {
  readonly uplink: string;
  readonly gatewayId: string;
  readonly rules: readonly AcceptRule[];
  readonly commands: DownCommands;
  /** Gives local clients a message; resolves when it is kept for them. @throws when it may be given again. */
  readonly publish: (message: DownMessage) => Promise<void>;
  /** Resolves when commands and broker are started. */
  readonly started: Promise<void>;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * What comes down from one uplink: commands go to those who carry them out, anything else to the local broker, where the gateway
 * itself never captures it. Nothing that this gateway sent up comes down again.
 */
export class RunningDownlink implements Downlink {
  readonly #parts: DownlinkParts;
  readonly #counted: Counter;
  readonly #told = new Set<string>();

  constructor(parts: DownlinkParts) {
    this.#parts = parts;
    this.#counted = parts.metrics.counter(
      "millrace_accepted_total",
      "Messages from upstream, by what became of them.",
      ["uplink", "result"],
    );
  }

  async take(message: Incoming): Promise<Taken> {
    const { uplink, gatewayId, rules, commands, publish, started } = this.#parts;
    await started;
    if (isOwn(message, gatewayId)) {
      this.#count("own");
      return "kept";
    }
    const found = acceptedAs(rules, message.topic);
    if (found === undefined) {
      // A kept session may still have a subscription of an earlier configuration.
      this.#refuse("unmatched", message.topic, "no entry of accept takes this topic");
      return "refused";
    }
    const { rule, local } = found;
    const fault = localTopicFault(local);
    if (fault !== undefined) {
      this.#refuse("refused", message.topic, fault);
      return "refused";
    }
    if (commands.isResult(local)) {
      this.#refuse("refused", message.topic, "results come from here, and do not go down");
      return "refused";
    }
    const { payload, retain, responseTopic, correlation } = message;
    if (commands.matches(local)) {
      await commands.take({
        topic: local,
        payload,
        retain,
        from: `uplink ${uplink}`,
        uplink,
        ...(responseTopic === undefined ? {} : { responseTopic }),
        ...(correlation === undefined ? {} : { correlation }),
      });
      this.#count("command");
      return "kept";
    }
    await publish({ topic: local, payload, qos: message.qos, retain: retain && rule.retain === "keep" });
    this.#count("published");
    return "kept";
  }

  #count(result: string): void {
    this.#counted.inc({ uplink: this.#parts.uplink, result });
  }

  /** Each reason is told once; how often it came is a metric. */
  #refuse(result: string, topic: string, reason: string): void {
    this.#count(result);
    if (this.#told.has(reason)) return;
    this.#told.add(reason);
    this.#parts.log.warn({ topic: topic.slice(0, 200), reason }, "a message from upstream was refused");
  }
}
