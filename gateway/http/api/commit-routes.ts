import { z } from "zod";
import type { Principal } from "../access.ts";
import { CONFIG_BYTES } from "./config-routes.ts";
import { answered } from "./plant-routes.ts";
import { type Route, route } from "./route.ts";
import {
  type ConfigPlan,
  type HistoryList,
  type HistoryText,
  historyList,
  historyText,
  type PendingView,
  pendingView,
  reloadPlan,
} from "./schemas.ts";

export interface ApplyWish {
  readonly text: string;
  readonly base: string;
  readonly note: string;
  readonly confirmMs: number;
  readonly always: boolean;
}

/** What the API needs to replace the configuration. Every method throws ConfigError where it cannot be done now. */
export interface CommitSource {
  pending(): PendingView;
  plan(text: string): Promise<ConfigPlan>;
  apply(wish: ApplyWish, by: string): Promise<PendingView>;
  confirm(by: string): Promise<PendingView>;
  revert(by: string): PendingView;
  history(): Promise<HistoryList>;
  historyText(id: number): Promise<HistoryText | undefined>;
}

/** Applying a configuration on probation, and the texts there were. */
export function commitRoutes(source: CommitSource): Route[] {
  const common = { tag: "configuration", needs: "configure" } as const;
  return [
    route({
      ...common,
      id: "applyConfig",
      method: "POST",
      path: "/config/apply",
      summary:
        "Replaces the file and applies it, on probation: it goes back by itself where nobody confirms it and something is less well than before.",
      body: z.strictObject({
        text: z.string().max(CONFIG_BYTES).describe("Secrets that are masked in it stay as they are in the file."),
        base: z.string().max(64).describe("`sha256` of the file that the text was made from."),
        note: z.string().max(500).default("").describe("Why, for the history."),
        confirmSeconds: z.number().int().min(10).max(3600).default(60),
        always: z
          .boolean()
          .default(true)
          .describe(
            "False: it stays without a confirmation where all is as well as before, unless `http` or `broker` differ.",
          ),
      }),
      bodyBytes: 2 * CONFIG_BYTES,
      status: 202,
      answer: pendingView,
      handle: async ({ body: { confirmSeconds, ...rest }, principal }) => ({
        answer: await source.apply({ ...rest, confirmMs: confirmSeconds * 1000 }, nameOf(principal)),
      }),
    }),
    route({
      ...common,
      id: "planConfig",
      method: "POST",
      path: "/config/plan",
      summary: "What stops and starts if a candidate is applied. Nothing is changed.",
      body: z.strictObject({ text: z.string().max(CONFIG_BYTES) }),
      bodyBytes: 2 * CONFIG_BYTES,
      answer: z.strictObject({ plan: reloadPlan }),
      handle: async ({ body }) => ({ answer: { plan: await source.plan(body.text) } }),
    }),
    route({
      ...common,
      id: "getPendingConfig",
      method: "GET",
      path: "/config/pending",
      summary: "The change that waits for its confirmation, what is not well, and how the last one ended.",
      needs: "read",
      answer: pendingView,
      handle: () => ({ answer: source.pending() }),
    }),
    route({
      ...common,
      id: "confirmConfig",
      method: "POST",
      path: "/config/confirm",
      summary: "The change that waits stays.",
      answer: pendingView,
      handle: async ({ principal }) => ({ answer: await source.confirm(nameOf(principal)) }),
    }),
    route({
      ...common,
      id: "revertConfig",
      method: "POST",
      path: "/config/revert",
      summary: "The change that waits is taken back at once.",
      status: 202,
      answer: pendingView,
      handle: ({ principal }) => ({ answer: source.revert(nameOf(principal)) }),
    }),
    route({
      ...common,
      id: "getConfigHistory",
      method: "GET",
      path: "/config/history",
      summary: "The last 50 texts of the file, with who applied them and what became of them; the newest first.",
      answer: historyList,
      handle: async () => ({ answer: await source.history() }),
    }),
    route({
      ...common,
      id: "getConfigHistoryText",
      method: "GET",
      path: "/config/history/{id}",
      summary: "One of them, secrets masked, and what it changes of the present file.",
      params: z.strictObject({ id: z.coerce.number().int().min(1).max(999_999) }),
      answer: historyText,
      handle: async ({ params }) => answered(await source.historyText(params.id)),
    }),
  ];
}

function nameOf(principal: Principal | undefined): string {
  return principal?.name ?? "";
}
