import { createHash } from "node:crypto";

/** Of a topic's name in the cluster. */
const MOST_CHARS = 249;
const HASH_CHARS = 16;
/** Topics of a gateway, at most; then their names are worked out anew. */
const MOST_NAMES = 10_000;
const PLACEHOLDER = /\{([^{}]*)\}/g;

/** Fills the template with a message's topic; what a name may not hold becomes `_`, and what is too long ends in a hash. */
export function kafkaTopicOf(template: string, topic: string, gatewayId: string): string {
  const levels = topic.split("/");
  const filled = template.replaceAll(PLACEHOLDER, (_, name: string) => {
    if (name === "topic") return levels.map(word).join(".");
    return word(name === "gateway" ? gatewayId : (levels[Number(name) - 1] ?? ""));
  });
  const name = filled.replaceAll(/[^a-zA-Z0-9._-]/g, "_");
  if (name.length <= MOST_CHARS && name !== "." && name !== ".." && name !== "") return name;
  const hash = createHash("sha256").update(topic).digest("hex").slice(0, HASH_CHARS);
  return `${name.slice(0, MOST_CHARS - HASH_CHARS - 1)}-${hash}`;
}

/** Names of the topics of one uplink, each worked out once. */
export class TopicNames {
  readonly #template: string;
  readonly #gatewayId: string;
  readonly #known = new Map<string, string>();

  constructor(template: string, gatewayId: string) {
    this.#template = template;
    this.#gatewayId = gatewayId;
  }

  of(topic: string): string {
    const before = this.#known.get(topic);
    if (before !== undefined) return before;
    const name = kafkaTopicOf(this.#template, topic, this.#gatewayId);
    if (this.#known.size >= MOST_NAMES) this.#known.clear();
    this.#known.set(topic, name);
    return name;
  }
}

/** Whether every message goes to the same topic. */
export function isStatic(template: string): boolean {
  return !/\{(?!gateway\})/.test(template);
}

/** What is wrong with a template; undefined when nothing is. */
export function templateFault(template: string): string | undefined {
  for (const [whole, name = ""] of template.matchAll(PLACEHOLDER)) {
    if (name !== "topic" && name !== "gateway" && !/^[1-9]$/.test(name))
      return `unknown placeholder "${whole}"; {topic}, {gateway} and {1} to {9} are known here`;
  }
  const rest = template.replaceAll(PLACEHOLDER, "");
  const wrong = /[^a-zA-Z0-9._-]/.exec(rest);
  if (wrong) return `"${wrong[0]}" may not be in the name of a topic; letters, digits, ".", "_" and "-" may`;
  return undefined;
}

/** The topic here of a message from the cluster. */
export function topicOf(kafkaTopic: string, key: string | undefined): string {
  const topic = kafkaTopic.replaceAll(".", "/");
  return key === undefined || key === "" ? topic : `${topic}/${key}`;
}

function word(level: string): string {
  return level.replaceAll(/[^a-zA-Z0-9_-]/g, "_");
}
