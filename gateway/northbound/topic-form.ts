import { Buffer } from "node:buffer";
import type { TopicForm, TopicLimits } from "../core/uplink.ts";
import type { TopicMapper } from "./topics.ts";

/** Topics within what the far side takes: surplus levels are joined with `.`. What is still too long the far side's uplink refuses. */
export function limitedTopics(mapper: TopicMapper, limits: TopicLimits): TopicMapper {
  return {
    ...mapper,
    record: (...args) => fitted(mapper.record(...args), limits),
    control: (kind) => fitted(mapper.control(kind), limits),
  };
}

/** The far side knows only its own topics: ours go into them, percent-encoded. `client` is our client id. */
export function formedTopics(mapper: TopicMapper, form: TopicForm, client: string): TopicMapper {
  const fill = (template: string, topic: string, kind: string) =>
    template.replace(/\{(client|topic|kind)\}/g, (_, name: string) =>
      name === "client" ? client : encodeURIComponent(name === "topic" ? topic : kind),
    );
  return {
    ...mapper,
    record: (...args) => fill(form.record, mapper.record(...args), "record"),
    control: (kind) => fill((kind === "status" ? form.status : undefined) ?? form.control, mapper.control(kind), kind),
  };
}

/** Why the far side will not take this topic; undefined when it will. */
export function topicFault(topic: string, { bytes }: TopicLimits): string | undefined {
  const size = Buffer.byteLength(topic);
  if (size > bytes) return `"${topic}" has ${size} bytes upstream, and the server takes ${bytes}; use a shorter one`;
  return topic.startsWith("$") ? `"${topic}" begins with "$", which the server keeps for itself` : undefined;
}

function fitted(topic: string, { levels, charset }: TopicLimits): string {
  const clean = charset === "ascii" ? topic.replaceAll(/[^\x20-\x7e]/gu, "_") : topic;
  const parts = clean.split("/");
  if (parts.length <= levels) return clean;
  return [...parts.slice(0, levels - 1), parts.slice(levels - 1).join(".")].join("/");
}
