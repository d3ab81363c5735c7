import type { Device, Request, Tag } from "../../gateway/core/driver.ts";
import { printable } from "./bytes.ts";
import type { LinkOptions } from "./options.ts";
import type { Talker } from "./parse/talker.ts";

/** An answer whose length is not known is reckoned with so many characters. */
const USUAL_ANSWER = 16;

/** One question, and the tags that are in its answer. */
export class AskRequest implements Request {
  readonly talker: Talker;
  readonly question: Buffer;
  readonly tags: readonly Tag[];
  readonly wireMs: number;

  constructor(talker: Talker, question: Buffer, tags: readonly Tag[], wireMs: number) {
    this.talker = talker;
    this.question = question;
    this.tags = tags;
    this.wireMs = wireMs;
  }

  get device(): Device {
    return this.talker.device;
  }

  get label(): string {
    return `ask ${printable(this.question)}`;
  }
}

/**
 * One request for each different question of the tags. Tags that are listened for or only written are in none.
 * @throws ConfigError naming the tag.
 */
export function planAsks(talker: Talker, tags: readonly Tag[], link: LinkOptions): AskRequest[] {
  const groups = new Map<string, { readonly question: Buffer; readonly tags: Tag[] }>();
  for (const tag of tags) {
    const question = talker.question(tag);
    if (!question) continue;
    const key = question.toString("latin1");
    const group = groups.get(key);
    if (group) group.tags.push(tag);
    else groups.set(key, { question, tags: [tag] });
  }
  return [...groups.values()].map(
    ({ question, tags: own }) => new AskRequest(talker, question, own, wireMs(question, link)),
  );
}

function wireMs(question: Buffer, { transport, framing }: LinkOptions): number {
  if (transport.type === "tcp" || transport.type === "tcp-listen") return 0;
  const { baud, dataBits, stopBits, parity } = transport;
  const bits = 1 + dataBits + stopBits + (parity === "none" ? 0 : 1);
  const answer = framing.type === "fixed" ? framing.length : USUAL_ANSWER;
  return ((question.length + answer) * bits * 1000) / baud;
}
