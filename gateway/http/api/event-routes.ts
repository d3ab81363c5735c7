import { setTimeout as pause } from "node:timers/promises";
import { z } from "zod";
import type { Access } from "../access.ts";
import { HttpError } from "../body.ts";
import { type Call, type Route, route } from "./route.ts";
import type { ApiSource } from "./source.ts";

const EVERY_MS = 1_000;
const MOST_STREAMS = 32;
const MOST_DEVICES = 16;
const name = z.string().min(1).max(256);
const query = z.strictObject({
  device: z
    .union([name.transform((one) => [one]), z.array(name).max(MOST_DEVICES)])
    .default([])
    .describe(`Devices whose changed tags are sent, up to ${MOST_DEVICES}: repeat it.`),
});

/**
 * What goes on, as server-sent events: `overview` each second, and `tags`, `{device, tags}` with what changed since the last
 * one; the first has all. A reader that is slow gets fewer events, each with all that changed meanwhile: nothing waits for it in
 * memory. One that takes nothing for a minute is hung up on.
 */
export function eventRoutes(source: ApiSource, access: Access, everyMs = EVERY_MS): Route[] {
  let streams = 0;
  return [
    route({
      id: "followEvents",
      method: "GET",
      path: "/events",
      summary:
        "What goes on, live, as server-sent events: `overview` each second, `tags` of the devices that are asked for.",
      tag: "plant",
      needs: "read",
      query,
      type: "text/event-stream",
      handle: (call) => {
        const unknown = call.query.device.find((device) => source.tags(device) === undefined);
        if (unknown !== undefined) return undefined;
        if (streams >= MOST_STREAMS)
          throw new HttpError(503, "MILLRACE_BUSY", `there are ${MOST_STREAMS} readers already`, 5);
        return { type: "text/event-stream", pieces: counted(follow(source, access, call, everyMs)) };
      },
    }),
  ];

  async function* counted(pieces: AsyncIterable<string>): AsyncGenerator<string> {
    streams++;
    try {
      yield* pieces;
    } finally {
      streams--;
    }
  }
}

async function* follow(
  source: ApiSource,
  access: Access,
  call: Call<unknown, z.output<typeof query>, unknown>,
  everyMs: number,
): AsyncGenerator<string> {
  const { request, principal, signal } = call;
  const marks = new Map<string, number>(call.query.device.map((device) => [device, 0]));
  const { authorization } = request.headers;
  for (;;) {
    yield piece("overview", source.overview());
    for (const [device, mark] of marks) {
      const { tags, mark: next } = source.changed(device, mark);
      marks.set(device, next);
      if (tags.length > 0 || mark === 0) yield piece("tags", { device, tags });
    }
    const gone = await pause(everyMs, false, { signal }).catch(() => true);
    if (gone) return;
    // Whoever was logged out, or lost their role, sees no more.
    if (principal && !(await access.lasts(principal, authorization))) {
      yield piece("end", { reason: "the session has ended" });
      return;
    }
  }
}

function piece(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
