import { z } from "zod";
import type { LearntModule } from "../../../gateway/core/learnt.ts";
import { AREA_NAMES, LAST_ADDRESS } from "../address.ts";
import { formatHole } from "../plan/hole.ts";

const at = z
  .number()
  .int()
  .min(0)
  .max(LAST_ADDRESS + 1);
const range = z.object({ area: z.enum(AREA_NAMES), start: at, end: at });
const length = z.object({ answered: at, refused: at.optional(), most: at.min(1).optional() });
const ms = z.number().min(0);

/** What is kept of a unit. Whatever does not fit this is as good as nothing. */
const contentSchema = z.object({
  version: z.literal(1),
  holes: z.array(range),
  /** Values that are left out. */
  refused: z.array(range),
  registers: length,
  bits: length,
  reply: z.object({ samples: z.number().int().min(0), smooth: ms, deviation: ms, slowest: ms }).optional(),
});
export type Content = z.infer<typeof contentSchema>;

export function readContent(saved: unknown): Content | undefined {
  const found = contentSchema.safeParse(saved);
  return found.success ? found.data : undefined;
}

const SLACK = 3;
const LEAST_TIMEOUT_MS = 500;

export const modbusLearnt: LearntModule = { describe, profile };

function describe(saved: unknown): string[] {
  const content = readContent(saved);
  if (!content) return [];
  const { holes, refused, registers, bits, reply } = content;
  return [
    ...limitLine("registers", registers),
    ...limitLine("coils or discrete inputs", bits),
    ...holes.map((hole) =>
      hole.start === hole.end
        ? `${hole.area}: no request may cross from ${hole.start - 1} to ${hole.start}`
        : `${formatHole(hole)} cannot be read`,
    ),
    ...refused.map((value) => `${formatHole(value)} is left out: illegal data address; tried again each hour`),
    ...(reply
      ? [`answers begin after ${reply.smooth.toFixed(1)} ms on average, ${reply.slowest.toFixed(0)} ms at most lately`]
      : []),
  ];
}

function limitLine(what: string, { most, answered }: Content["registers"]): string[] {
  return most === undefined ? [] : [`at most ${most} ${what} in one request (${answered} were answered)`];
}

/** What was answered, not what may be. */
function proven({ most = 1, answered }: Content["registers"]): number {
  return answered === 0 ? most : Math.min(most, answered);
}

function profile(saved: unknown): Record<string, unknown> {
  const content = readContent(saved);
  if (!content) return {};
  const { holes, registers, bits, reply } = content;
  return {
    ...(registers.most === undefined ? {} : { maxRegisters: proven(registers) }),
    ...(bits.most === undefined ? {} : { maxCoils: proven(bits) }),
    ...(holes.length === 0 ? {} : { holes: [...new Set(holes.map(formatHole))] }),
    ...(reply && reply.samples >= 100
      ? { timeout: `${Math.ceil(Math.max(LEAST_TIMEOUT_MS, SLACK * reply.slowest) / 10) * 10}ms` }
      : {}),
  };
}
