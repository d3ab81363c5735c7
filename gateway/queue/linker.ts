import type { NewRecord } from "../core/record.ts";
import type { Selector } from "../core/selector.ts";
import type { Chain } from "./record.ts";

interface Member {
  readonly uplink: string;
  readonly selector: Selector;
  readonly chain: Chain;
}

const MOST_TOPICS = 10_000;

/** Which chains a record of one stream goes on: every uplink's selection, evaluated when the record is appended. */
export class Linker {
  readonly #members = new Map<string, Member>();
  /** Selections repeat with the topics. */
  readonly #byTopic = new Map<string, readonly Chain[]>();

  /** Takes the uplink in, or replaces its selection and chain. */
  set(uplink: string, selector: Selector, chain: Chain): void {
    this.#members.set(uplink, { uplink, selector, chain });
    this.#byTopic.clear();
  }

  /** The last selected seq of an uplink's chain; 0 when it has none. */
  head(uplink: string): number {
    return this.#members.get(uplink)?.chain.head ?? 0;
  }

  chainsOf(record: NewRecord): readonly Chain[] {
    const { content, to } = record;
    if (to) return [...new Set(to)].flatMap((uplink) => this.#members.get(uplink)?.chain ?? []);
    const topic = content.kind === "message" ? content.topic : content.source.topic;
    const known = this.#byTopic.get(topic);
    if (known) return known;
    const chains = [...this.#members.values()].flatMap(({ selector, chain }) => (selector.matches(topic) ? chain : []));
    if (this.#byTopic.size >= MOST_TOPICS) this.#byTopic.clear();
    this.#byTopic.set(topic, chains);
    return chains;
  }

  /** Per slot the last selected seq. */
  heads(): Record<string, number> {
    return Object.fromEntries([...this.#members.values()].map(({ chain }) => [chain.slot, chain.head]));
  }
}
