import { z } from "zod";
import type { Auditor } from "../../core/audit.ts";
import { messageOf } from "../../core/errors.ts";
import { type Route, route } from "./route.ts";
import { deviceView, historyView, linkBrief, linkView, overview, writeView } from "./schemas.ts";
import type { ApiSource } from "./source.ts";

const name = z.string().min(1).max(256);
const named = z.strictObject({ name });
const MOST_RECORD_MS = 600_000;

/** Overview, links, devices, and writing to them. */
export function plantRoutes(source: ApiSource, audit: Auditor): Route[] {
  return [
    route({
      id: "getOverview",
      method: "GET",
      path: "/overview",
      summary: "Everything at a glance: links, devices, uplinks, backlog, rates.",
      tag: "plant",
      needs: "read",
      answer: overview,
      handle: () => ({ answer: source.overview() }),
    }),
    route({
      id: "listLinks",
      method: "GET",
      path: "/links",
      summary: "The links.",
      tag: "plant",
      needs: "read",
      answer: z.strictObject({ links: z.array(linkBrief) }),
      handle: () => ({ answer: { links: source.links() } }),
    }),
    route({
      id: "getLink",
      method: "GET",
      path: "/links/{name}",
      summary: "A link: bus load, plan of requests, replies and errors of each unit, what is recorded.",
      tag: "plant",
      needs: "read",
      params: named,
      answer: linkView,
      handle: async ({ params }) => answered(await source.link(params.name)),
    }),
    route({
      id: "recordLink",
      method: "POST",
      path: "/links/{name}/record",
      summary: "What passed on a link lately or, with forMs, what passes from now on, as a capture file.",
      tag: "plant",
      needs: "configure",
      params: named,
      body: z.strictObject({ forMs: z.number().int().min(1).max(MOST_RECORD_MS).optional() }),
      type: "application/x-pcapng",
      handle: async ({ params, body, principal, signal }) => {
        const pieces = source.record(params.name, body.forMs, signal);
        await audit.record({
          actor: principal?.name ?? "",
          ...(principal && { address: principal.address }),
          action: "link.record",
          target: params.name,
          outcome: "ok",
        });
        const quietMs = 60_000 + (body.forMs ?? 0);
        return { type: "application/x-pcapng", file: fileOf(`${params.name}.pcapng`), quietMs, pieces };
      },
    }),
    route({
      id: "getRecording",
      method: "GET",
      path: "/links/{name}/recordings/{file}",
      summary: "A recording that was written after a fault, by its name in the list of the link.",
      tag: "plant",
      needs: "configure",
      params: z.strictObject({ name, file: name }),
      type: "application/x-pcapng",
      handle: async ({ params }) => {
        const pieces = await source.recording(params.name, params.file);
        return pieces && { type: "application/x-pcapng", file: fileOf(params.file), pieces };
      },
    }),
    route({
      id: "getDevice",
      method: "GET",
      path: "/devices/{name}",
      summary: "A device with its tags: value, quality, reason, time.",
      tag: "plant",
      needs: "read",
      params: named,
      answer: deviceView,
      handle: ({ params }) => answered(source.device(params.name)),
    }),
    route({
      id: "getHistory",
      method: "GET",
      path: "/devices/{name}/tags/{tag}/history",
      summary: "The last hour of a number, least and greatest value of each step.",
      tag: "plant",
      needs: "read",
      params: z.strictObject({ name, tag: name }),
      answer: historyView,
      handle: ({ params }) => answered(source.history(params.name, params.tag)),
    }),
    route({
      id: "writeTags",
      method: "POST",
      path: "/devices/{name}/write",
      summary: "Writes tags that the configuration lets be written, within their limits, and reads them back.",
      tag: "plant",
      needs: "operate",
      params: named,
      body: z.strictObject({
        values: z
          .record(name, z.union([z.string().max(4096), z.number(), z.boolean()]))
          .refine((values) => Object.keys(values).length > 0 && Object.keys(values).length <= 100, "1 to 100 values"),
      }),
      answer: writeView,
      handle: async ({ params, body, principal, signal }) => {
        const about = {
          actor: principal?.name ?? "",
          ...(principal && { address: principal.address }),
          action: "tag.write",
          target: params.name,
        };
        const asked = JSON.stringify(body.values);
        try {
          const answer = await source.write(params.name, body.values, principal?.name ?? "", signal);
          if (!answer) return undefined;
          const failed = answer.results
            .filter(({ ok }) => !ok)
            .map(({ tag, reason }) => `${tag}: ${reason ?? "failed"}`);
          await audit.record({
            ...about,
            outcome: failed.length > 0 ? "failed" : "ok",
            detail: [asked, ...failed].join("; "),
          });
          return { answer };
        } catch (error) {
          await audit.record({ ...about, outcome: "failed", detail: `${asked}; ${messageOf(error)}` });
          throw error;
        }
      },
    }),
  ];
}

/** A found thing as an answer. */
export function answered<A>(answer: A | undefined): { readonly answer: A } | undefined {
  return answer === undefined ? undefined : { answer };
}

/** Fit for a Content-Disposition header. */
function fileOf(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9._-]+/g, "_").slice(-120);
}
