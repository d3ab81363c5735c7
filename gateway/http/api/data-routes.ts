import { z } from "zod";
import { answered } from "./plant-routes.ts";
import { type Route, route } from "./route.ts";
import { logsView, queueView, recordsView, uplinkView } from "./schemas.ts";
import type { ApiSource } from "./source.ts";

const name = z.string().min(1).max(256);
const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const limit = whole(1, 200).default(50);

/** Queue, uplinks and logs. */
export function dataRoutes(source: ApiSource): Route[] {
  return [
    route({
      id: "getQueue",
      method: "GET",
      path: "/queue",
      summary: "The queue: streams, what each uplink is owed, lanes, gaps, dead letters, quarantine, wear.",
      tag: "data",
      needs: "read",
      answer: queueView,
      handle: async () => ({ answer: await source.queue() }),
    }),
    route({
      id: "peekQueue",
      method: "GET",
      path: "/queue/records",
      summary: "Records as they lie in the queue, without disturbing delivery.",
      tag: "data",
      needs: "read",
      query: z.strictObject({
        uplink: name.optional(),
        stream: z.enum(["events", "telemetry"]).optional(),
        from: whole(1, Number.MAX_SAFE_INTEGER).optional(),
        limit,
      }),
      answer: recordsView,
      handle: async ({ query, signal }) => {
        const { uplink, stream, from, limit: most } = query;
        const wanted = {
          limit: most,
          ...(uplink === undefined ? {} : { uplink }),
          ...(stream === undefined ? {} : { stream }),
          ...(from === undefined ? {} : { from }),
        };
        return { answer: { records: await source.peek(wanted, signal) } };
      },
    }),
    route({
      id: "getUplink",
      method: "GET",
      path: "/uplinks/{name}",
      summary: "An uplink: state, limits of the far side, window, backlog, certificates.",
      tag: "data",
      needs: "read",
      params: z.strictObject({ name }),
      answer: uplinkView,
      handle: async ({ params }) => answered(await source.uplink(params.name)),
    }),
    route({
      id: "listDeadLetters",
      method: "GET",
      path: "/uplinks/{name}/dead-letters",
      summary: "The newest records that the far side refused for good, and why.",
      tag: "data",
      needs: "read",
      params: z.strictObject({ name }),
      query: z.strictObject({ limit }),
      answer: recordsView,
      handle: async ({ params, query }) => {
        const records = await source.deadLetters(params.name, query.limit);
        return records && { answer: { records } };
      },
    }),
    route({
      id: "getLogs",
      method: "GET",
      path: "/logs",
      summary: "The last lines of the log; secrets are taken out.",
      tag: "data",
      needs: "operate",
      query: z.strictObject({
        after: whole(0, Number.MAX_SAFE_INTEGER).default(0),
        limit: whole(1, 500).default(200),
        level: z.enum(["debug", "info", "warn", "error"]).default("debug"),
      }),
      answer: logsView,
      handle: ({ query }) => ({ answer: source.logs(query) }),
    }),
  ];
}
