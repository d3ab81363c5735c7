import { z } from "zod";

/** What the API answers about the configuration; units as in `schemas.ts`. */

const count = z.number().int().nonnegative();

const located = z.strictObject({
  file: z.string(),
  line: count,
  column: count,
  path: z.string(),
  message: z.string(),
  usedBy: z.array(z.string()).optional(),
});
export const configView = z.strictObject({
  file: z.string(),
  text: z.string().describe("The file as it is now, secrets masked."),
  masked: count.describe("Values that are masked in it."),
  sha256: z.string().describe("Of the file, for `base` when a change is applied."),
  changed: z.boolean().describe("Whether it is another text than the gateway was started with."),
});
export const reloadPlan = z.strictObject({
  whole: z.boolean().describe("All parts restart, within the process."),
  steps: z.array(
    z.strictObject({ part: z.string(), action: z.enum(["start", "stop", "restart", "change"]), why: z.string() }),
  ),
});
export const pendingView = z.strictObject({
  state: z.enum(["none", "applying", "waiting", "confirming", "reverting"]),
  id: count.optional().describe("Of the text in the history."),
  by: z.string().optional(),
  note: z.string().optional(),
  leftMs: count.optional().describe("Milliseconds until it goes back."),
  mustConfirm: z.boolean().optional().describe("It goes back unless somebody confirms it, however well all is."),
  unhealthy: z.array(z.string()).describe("What was well before, or is new, and is not well now."),
  plan: reloadPlan.optional(),
  last: z
    .strictObject({ id: count, outcome: z.enum(["confirmed", "reverted"]), why: z.string() })
    .optional()
    .describe("How the last change since the start ended."),
});
const historyBrief = z.strictObject({
  id: count,
  at: z.number(),
  by: z.string().describe("Empty: found in the file."),
  note: z.string(),
  outcome: z.enum(["found", "waiting", "confirmed", "reverted"]),
  why: z.string().optional(),
  sha256: z.string(),
});
export const historyList = z.strictObject({ entries: z.array(historyBrief) });
export const configCheck = z.strictObject({
  ok: z.boolean(),
  faults: z.array(located),
  warnings: z.array(located),
});
export const configCompletion = z.strictObject({
  from: count.describe("Offsets in the text, UTF-16: what is being written there, and is replaced."),
  to: count,
  path: z.string().describe("Where that is, as `links[0].transport`; empty at the top."),
  about: z.string().describe("What stands there is for."),
  candidates: z.array(
    z.strictObject({
      label: z.string(),
      insert: z.string().describe("Takes the place of `from` to `to`."),
      required: z.boolean(),
      type: z.string(),
      description: z.string(),
    }),
  ),
});
export const configDiff = z.strictObject({
  added: count,
  removed: count,
  lines: z.array(
    z.strictObject({
      kind: z.enum(["same", "added", "removed"]),
      text: z.string(),
      before: count.optional().describe("Line number in the present file."),
      after: count.optional().describe("Line number in the candidate."),
    }),
  ),
});
export const historyText = historyBrief.extend({
  text: z.string().describe("Secrets masked."),
  diff: configDiff.describe("What it changes of the present file."),
});

export type ConfigPlan = z.infer<typeof reloadPlan>;
export type PendingView = z.infer<typeof pendingView>;
export type HistoryList = z.infer<typeof historyList>;
export type HistoryText = z.infer<typeof historyText>;
export type ConfigView = z.infer<typeof configView>;
export type ConfigCheck = z.infer<typeof configCheck>;
export type ConfigDiff = z.infer<typeof configDiff>;
export type ConfigCompletion = z.infer<typeof configCompletion>;
