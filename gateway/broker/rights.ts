import type { Grants } from "../core/options/broker.ts";
import { filterCovers, topicMatches } from "../core/selector.ts";

/** What a connection may do. Everything that is not granted is denied. */
export interface Rights {
  mayPublish(topic: string): boolean;
  /** Whether every topic of the filter is granted. */
  maySubscribe(filter: string): boolean;
  /** Whether a message of the topic may be sent to it. */
  mayRead(topic: string): boolean;
}

export const ALL_RIGHTS: Rights = { mayPublish: () => true, maySubscribe: () => true, mayRead: () => true };
export const NO_RIGHTS: Rights = { mayPublish: () => false, maySubscribe: () => false, mayRead: () => false };

const CACHE_ENTRIES = 1024;
const CACHED_TOPIC_CHARS = 256;

/** The filters of a user with `%u` and `%c` filled in. */
export function rightsOf(user: Grants & { readonly name: string }, clientId: string): Rights {
  const fill = (filters: readonly string[]) => filters.flatMap((filter) => filled(filter, user.name, clientId));
  const publish = fill(user.publish);
  const subscribe = fill(user.subscribe);
  const { deny } = user;
  const matches = (filters: readonly string[], topic: string) => filters.some((filter) => topicMatches(filter, topic));
  const covers = (filters: readonly string[], inner: string) => filters.some((outer) => filterCovers(outer, inner));
  return {
    mayPublish: remembered((topic) => matches(publish, topic) && !matches(deny, topic)),
    maySubscribe: (filter) => covers(subscribe, filter) && !covers(deny, filter),
    mayRead: remembered((topic) => matches(subscribe, topic) && !matches(deny, topic)),
  };
}

/** None where a name would add levels or wildcards: client ids are the clients' own choice. */
function filled(filter: string, user: string, clientId: string): string[] {
  const names: Readonly<Record<string, string>> = { "%u": user, "%c": clientId };
  let isSafe = true;
  const text = filter.replaceAll(/%[uc]/g, (placeholder) => {
    const name = names[placeholder] ?? "";
    // A level that begins with $ would come to be a reserved topic.
    isSafe &&= name !== "" && !/[+#/\0]/.test(name) && !(name.startsWith("$") && filter.startsWith(placeholder));
    return name;
  });
  return isSafe ? [text] : [];
}

function remembered(judge: (topic: string) => boolean): (topic: string) => boolean {
  const known = new Map<string, boolean>();
  return (topic) => {
    const before = known.get(topic);
    if (before !== undefined) return before;
    const judgement = judge(topic);
    if (topic.length <= CACHED_TOPIC_CHARS) {
      if (known.size >= CACHE_ENTRIES) known.clear();
      known.set(topic, judgement);
    }
    return judgement;
  };
}
