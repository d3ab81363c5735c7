import type { Request, Tag } from "./driver.ts";
import type { Sample } from "./sample.ts";

export interface ReadOnceParts {
  /** The transactions for these tags. */
  readonly plan: (tags: readonly Tag[]) => readonly Request[];
  readonly read: (request: Request) => Promise<readonly Sample[]>;
  readonly monoMs: () => number;
}

/**
 * Reads tags once, because somebody asked: in the transactions that the driver plans, and with what comes in place of refused
 * ones. Where one is refused as a whole and the driver has nothing to put in its place (it spares the line), each of its tags is
 * asked for alone: who asks once cannot wait for what is learnt by and by. @returns one sample for each tag, in their order.
 */
export async function readOnce(tags: readonly Tag[], { plan, read, monoMs }: ReadOnceParts): Promise<Sample[]> {
  const requests: Request[] = [...plan(tags)];
  const samples = new Map<string, Sample>();
  for (let request = requests.shift(); request; request = requests.shift()) {
    const given = await read(request);
    const instead = [...(request.instead?.() ?? [])];
    if (instead.length === 0 && isRefused(request, given)) instead.push(...alone(request, plan));
    requests.unshift(...instead);
    for (const sample of instead.length > 0 ? [] : given) samples.set(sample.tag, sample);
  }
  const none = (tag: string): Sample => ({ tag, quality: "bad", reason: "cannot be read on demand", monoMs: monoMs() });
  return tags.map(({ name }) => samples.get(name) ?? none(name));
}

function isRefused({ tags }: Request, given: readonly Sample[]): boolean {
  const [first] = given;
  return (
    tags.length > 1 &&
    given.length === tags.length &&
    given.every(({ quality, reason }) => quality === "bad" && reason === first?.reason)
  );
}

function alone({ tags }: Request, plan: ReadOnceParts["plan"]): Request[] {
  return tags.flatMap((tag) => plan([tag]).filter((request) => request.tags.length === 1));
}
