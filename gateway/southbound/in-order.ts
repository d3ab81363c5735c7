import type { Request } from "../core/driver.ts";
import type { Sample } from "../core/sample.ts";

/** One sample for each tag of the request, in their order; what the driver left out is bad. */
export function inOrder(samples: Sample[], request: Request, nowMs: () => number): Sample[] {
  if (isInOrder(samples, request)) return samples;
  const byTag = new Map(samples.map((sample) => [sample.tag, sample]));
  return request.tags.map((tag) => byTag.get(tag.name) ?? missing(tag.name, nowMs()));
}

/** As drivers give them when all is well. */
function isInOrder(samples: readonly Sample[], { tags }: Request): boolean {
  if (samples.length !== tags.length) return false;
  for (let at = 0; at < tags.length; at++) if (samples[at]?.tag !== tags[at]?.name) return false;
  return true;
}

function missing(tag: string, monoMs: number): Sample {
  return { tag, quality: "bad", reason: "no sample", monoMs };
}
