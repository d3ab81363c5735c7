import { ConfigError } from "../core/errors.ts";
import { checkTopic } from "../core/selector.ts";

/** Where an uplink publishes. */
export interface TopicMapper {
  /** Topic upstream of a record with this local topic. */
  record(topic: string): string;
  /** Topic upstream of the gateway's own messages. */
  control(kind: "status" | "gap" | "clock"): string;
}

/** Templates beyond this many distinct topics are not remembered. */
const CACHE = 4096;

/**
 * @param template `{gateway}` and `{topic}` are replaced; every other character stands for itself.
 * @throws ConfigError when `{topic}` is missing, a placeholder is unknown, or the result cannot be published to.
 */
export function topicMapper(template: string, gatewayId: string): TopicMapper {
  const unknown = /\{(?!gateway\}|topic\})[^}]*\}/.exec(template)?.[0];
  if (unknown !== undefined) {
    throw new ConfigError(`topic "${template}": ${unknown} is not known here; use {gateway} and {topic}`);
  }
  if (!template.includes("{topic}")) {
    throw new ConfigError(`topic "${template}" must contain {topic}, or all records would share one topic`);
  }
  try {
    checkTopic(fill(template, gatewayId, "x"));
  } catch (error) {
    throw new ConfigError(`topic "${template}" cannot be published to`, { cause: error });
  }
  const known = new Map<string, string>();
  const own = (kind: string) => (template.includes("{gateway}") ? kind : `${gatewayId}/${kind}`);
  return {
    record(topic) {
      const mapped = known.get(topic);
      if (mapped !== undefined) return mapped;
      if (known.size >= CACHE) known.clear();
      const made = fill(template, gatewayId, topic);
      known.set(topic, made);
      return made;
    },
    control: (kind) => fill(template, gatewayId, own(kind)),
  };
}

function fill(template: string, gateway: string, topic: string): string {
  return template.replace(/\{(gateway|topic)\}/g, (_, name: string) => (name === "gateway" ? gateway : topic));
}
