import type { CaptureOptions } from "../core/options/broker.ts";
import type { StreamName } from "../core/record.ts";
import { checkTopic, checkTopicFilter, isReservedTopic, selectorOf } from "../core/selector.ts";

/** What is to be done with a message of a topic. */
export interface TopicJudgement {
  /** Why nobody may publish it; the client is disconnected. */
  readonly refusal?: string;
  /** The stream it is captured into, by the first rule that matches. */
  readonly stream?: StreamName;
}

/** MQTT 3.1.1 has no bound below 65535; the matchers behind the broker give up beyond this. */
export const MAX_LEVELS = 100;
const CACHE_ENTRIES = 4096;
const CACHED_TOPIC_CHARS = 256;

/** Text that is well-formed on the wire: no U+0000 [MQTT-1.5.3-2], no bytes that were not UTF-8 [MQTT-1.5.3-1]. */
export function isCleanText(text: string): boolean {
  // The decoder leaves U+FFFD where bytes were not UTF-8; a name that really contains it is refused with them.
  return !text.includes("\0") && !text.includes("\uFFFD");
}

/** How long topics and filters of clients may be. */
export interface TopicLimits {
  readonly maxTopicLevels: number;
  readonly maxTopicBytes: number;
}
const WIDEST: TopicLimits = { maxTopicLevels: MAX_LEVELS, maxTopicBytes: 65_535 };

/** Why `topic` may not be published by a client; undefined when it may. */
export function topicRefusal(topic: string, limits = WIDEST): string | undefined {
  if (isReservedTopic(topic)) return `topics of ${topic.split("/", 1)[0]} are reserved [MQTT-4.7.2-1]`;
  if (!isCleanText(topic)) return "the topic is not valid UTF-8 text";
  return sizeFault("topic", topic, limits) ?? faultOf(() => checkTopic(topic));
}

/** Why `filter` is a protocol error; undefined when it is a valid topic filter. */
export function filterFault(filter: string, limits = WIDEST): string | undefined {
  if (!isCleanText(filter)) return "the topic filter is not valid UTF-8 text";
  return sizeFault("filter", filter, limits) ?? faultOf(() => checkTopicFilter(filter));
}

function sizeFault(what: string, text: string, { maxTopicLevels, maxTopicBytes }: TopicLimits): string | undefined {
  if (text.split("/", maxTopicLevels + 1).length > maxTopicLevels) {
    return `the ${what} has more than ${maxTopicLevels} levels (broker.limits.maxTopicLevels)`;
  }
  if (Buffer.byteLength(text) <= maxTopicBytes) return undefined;
  return `the ${what} has more than ${maxTopicBytes} bytes (broker.limits.maxTopicBytes)`;
}

/** Filters that would be granted and never deliver: shared subscriptions are MQTT 5. */
export function isSharedFilter(filter: string): boolean {
  return filter.startsWith("$share/");
}

/** Judges topics by the capture rules; keeps its answers for the topics that are usual on a shop floor. */
export class TopicRules {
  readonly #rules: readonly { matches(topic: string): boolean; stream: StreamName }[];
  readonly #known = new Map<string, TopicJudgement>();
  readonly #limits: TopicLimits | undefined;

  /** @throws RangeError when a filter is not valid. */
  constructor(capture: CaptureOptions, limits?: TopicLimits) {
    this.#limits = limits;
    this.#rules = capture.map(({ topics, stream }) => {
      const selector = selectorOf(topics);
      return { stream, matches: (topic) => selector.matches(topic) };
    });
  }

  judge(topic: string): TopicJudgement {
    const known = this.#known.get(topic);
    if (known) return known;
    const judgement = this.#judgeAnew(topic);
    if (topic.length <= CACHED_TOPIC_CHARS) {
      if (this.#known.size >= CACHE_ENTRIES) this.#known.clear();
      this.#known.set(topic, judgement);
    }
    return judgement;
  }

  #judgeAnew(topic: string): TopicJudgement {
    const refusal = topicRefusal(topic, this.#limits);
    if (refusal !== undefined) return { refusal };
    const stream = this.#rules.find((rule) => rule.matches(topic))?.stream;
    return stream === undefined ? {} : { stream };
  }
}

function faultOf(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}
