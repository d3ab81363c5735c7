import { z } from "zod";
import type { Auditor } from "../../core/audit.ts";
import { answered } from "./plant-routes.ts";
import { type Route, route } from "./route.ts";
import { configCheck, configCompletion, configDiff, configView, interpretations, scanView } from "./schemas.ts";
import type { ApiSource } from "./source.ts";

/** A configuration of thousands of tags. */
export const CONFIG_BYTES = 2 * 1024 * 1024;
const text = z.strictObject({ text: z.string().max(CONFIG_BYTES) });
const line = z
  .union([
    z.strictObject({ link: z.string().min(1).max(256) }),
    z.strictObject({
      tcp: z.strictObject({
        host: z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, "a name or an address"),
        port: z.number().int().min(1).max(65_535).default(502),
      }),
    }),
  ])
  .describe("A link of the running configuration, or a Modbus TCP device that is not configured.");
const unit = z.number().int().min(0).max(255);
const id = z.strictObject({ id: z.string().regex(/^[A-Za-z0-9_-]{1,32}$/) });

/** The configuration, and the wizard that finds what to put into it. */
export function configRoutes(source: ApiSource, audit: Auditor): Route[] {
  return [
    route({
      id: "getConfig",
      method: "GET",
      path: "/config",
      summary: "The configuration file, secrets masked.",
      tag: "configuration",
      needs: "configure",
      answer: configView,
      handle: async () => ({ answer: await source.config() }),
    }),
    route({
      id: "getConfigSchema",
      method: "GET",
      path: "/config/schema",
      summary: "JSON Schema of the configuration, for an editor.",
      tag: "configuration",
      needs: "read",
      answer: z.record(z.string(), z.unknown()),
      handle: () => ({ answer: source.configSchema() }),
    }),
    route({
      id: "checkConfig",
      method: "POST",
      path: "/config/check",
      summary: "Checks a candidate: each fault with line, column and cure. Nothing is changed.",
      tag: "configuration",
      needs: "configure",
      body: text,
      bodyBytes: 2 * CONFIG_BYTES,
      answer: configCheck,
      handle: async ({ body }) => ({ answer: await source.checkConfig(body.text) }),
    }),
    route({
      id: "completeConfig",
      method: "POST",
      path: "/config/complete",
      summary: "What can stand at a place of a candidate, by the schema: keys, values, and what they mean.",
      tag: "configuration",
      needs: "configure",
      body: text.extend({ offset: z.number().int().min(0).max(CONFIG_BYTES) }),
      bodyBytes: 2 * CONFIG_BYTES,
      answer: configCompletion,
      handle: async ({ body }) => ({ answer: await source.completeConfig(body.text, body.offset) }),
    }),
    route({
      id: "diffConfig",
      method: "POST",
      path: "/config/diff",
      summary: "What a candidate changes of the present file, both with secrets masked. Nothing is changed.",
      tag: "configuration",
      needs: "configure",
      body: text,
      bodyBytes: 2 * CONFIG_BYTES,
      answer: configDiff,
      handle: async ({ body }) => ({ answer: await source.diffConfig(body.text) }),
    }),
    route({
      id: "startScan",
      method: "POST",
      path: "/wizard/scans",
      summary: "Begins to look for units on a line, one after the other, beside what is polled.",
      tag: "wizard",
      needs: "configure",
      body: z.strictObject({
        line,
        units: z.array(unit).min(1).max(256),
        timeoutMs: z.number().int().min(20).max(10_000).optional(),
      }),
      status: 202,
      answer: scanView,
      handle: async ({ body, principal }) => {
        const answer = await source.scan(body.line, body.units, body.timeoutMs);
        await audit.record({
          actor: principal?.name ?? "",
          ...(principal && { address: principal.address }),
          action: "wizard.scan",
          target: answer.line,
          outcome: "ok",
        });
        return { answer };
      },
    }),
    route({
      id: "getScan",
      method: "GET",
      path: "/wizard/scans/{id}",
      summary: "How far a scan is, and who was found.",
      tag: "wizard",
      needs: "configure",
      params: id,
      answer: scanView,
      handle: ({ params }) => answered(source.scanned(params.id)),
    }),
    route({
      id: "stopScan",
      method: "DELETE",
      path: "/wizard/scans/{id}",
      summary: "Ends a scan; what was found stays.",
      tag: "wizard",
      needs: "configure",
      params: id,
      answer: scanView,
      handle: ({ params }) => answered(source.stopScan(params.id)),
    }),
    route({
      id: "interpret",
      method: "POST",
      path: "/wizard/read",
      summary: "Reads registers and gives all that they can mean, side by side, the likeliest first.",
      tag: "wizard",
      needs: "configure",
      body: z.strictObject({
        line,
        unit,
        address: z.string().min(1).max(64),
        expect: z.string().min(1).max(64).optional().describe("What the display of the device shows."),
        samples: z.number().int().min(1).max(10).default(1),
      }),
      answer: interpretations,
      handle: async ({ body, signal }) => {
        const { line: where, expect, ...ask } = body;
        return {
          answer: await source.interpret(where, { ...ask, ...(expect === undefined ? {} : { expect }) }, signal),
        };
      },
    }),
  ];
}
