import { z } from "zod";
import { roleName, scopeName } from "../../accounts/roles.ts";

/** What the API answers. Times are Unix milliseconds, `…Ms` else are milliseconds, `…Percent` are 0 to 100. */

export * from "./config-schemas.ts";

const ms = z.number();
const count = z.number().int().nonnegative();
/** What a part of the gateway says of itself; a newer one may say more. */
const more = z.record(z.string(), z.unknown());

export const problem = z.strictObject({
  error: z.string().describe("What is wrong and what to do, for a person."),
  code: z.string().describe("MILLRACE_…; does not change between versions."),
});
export const done = z.strictObject({ done: z.literal(true) });

export const sessionView = z.strictObject({
  user: z.string(),
  role: roleName,
  scopes: z.array(scopeName),
  csrf: z.string().describe("To be sent as X-CSRF-Token with every change."),
  idleMs: ms,
  endsInMs: ms.describe("Until the session ends in any case."),
});
export const whoView = z.strictObject({
  setup: z.boolean().describe("True while there is no account: POST /api/v1/setup with the token from the log."),
  version: z.string(),
  gateway: z.string().optional().describe("Only for who is logged in."),
  session: sessionView.optional(),
  token: z.strictObject({ name: z.string(), scopes: z.array(scopeName) }).optional(),
});

export const deviceBrief = z.strictObject({
  name: z.string(),
  link: z.string(),
  topic: z.string(),
  state: z.string().describe("online, suspect or offline as the breaker says; unknown while the link is stopped."),
  since: ms.optional(),
  lastReply: ms.optional(),
  tags: count,
  bad: count.describe("Tags without a good value."),
  loadPercent: z.number(),
  requests: count,
  timeouts: count,
  errors: count,
  overruns: count,
});
export const linkBrief = z.strictObject({
  name: z.string(),
  driver: z.string(),
  state: z.string(),
  since: ms,
  lastReply: ms.optional(),
  lastError: z.string().optional(),
  loadPercent: z.number(),
  overruns: count,
  errors: count,
  devices: z.array(z.string()),
});
export const uplinkBrief = z.strictObject({
  name: z.string(),
  type: z.string(),
  state: z.string(),
  since: ms,
  backlog: count,
  backlogBytes: count,
  oldest: ms.optional(),
  secondsToDrain: z.number().optional(),
  gapsPending: count,
  inFlight: count,
  lastError: z.string().optional(),
  alarm: z.string().optional(),
  deadLetters: count,
});
export const overview = z.strictObject({
  gateway: z.string(),
  version: z.string(),
  now: ms,
  startedAt: ms,
  clock: z.string(),
  health: z.strictObject({ ok: z.boolean(), reasons: z.array(z.string()) }),
  links: z.array(linkBrief),
  devices: z.array(deviceBrief),
  uplinks: z.array(uplinkBrief),
  queue: z.strictObject({
    bytes: count.describe("On disk, the reserve included."),
    reserveBytes: count.describe("Kept for when the disk is full: no records are in it."),
    maxBytes: count,
    secondsToFull: z.number().optional(),
    secondsToDrain: z.number().optional(),
    dropped: count,
    quarantined: count,
    healthy: z.boolean(),
  }),
  rates: z.strictObject({
    inPerSecond: z.number().describe("Records stored, over the last seconds."),
    outPerSecond: z.number().describe("Records acknowledged upstream."),
    historyIn: z.array(z.number()).describe("The last two minutes, one number a second, oldest first."),
    historyOut: z.array(z.number()),
  }),
  broker: more,
});

export const linkView = z.strictObject({
  ...linkBrief.shape,
  units: z.array(deviceBrief),
  plan: more.describe("What is asked in each run: as `millrace plan --json`."),
  recorder: z.strictObject({
    recording: z.boolean(),
    transport: z.string().optional(),
    at: z.string().optional(),
    chunks: count.optional(),
    bytes: count.optional(),
    ageMs: ms.optional(),
  }),
  recordings: z.array(z.strictObject({ file: z.string(), bytes: count, at: ms })),
});

const value = z
  .union([z.string(), z.number(), z.boolean(), z.null()])
  .describe("Whole numbers beyond 2^53 are texts, bytes are hex, null where there is none.");
export const tagState = z.strictObject({
  tag: z.string(),
  value,
  quality: z.enum(["good", "bad", "stale", "none"]).describe("none: nothing was read yet."),
  reason: z.string().optional(),
  at: ms.optional(),
});
export const tagView = z.strictObject({
  ...tagState.shape,
  type: z.string(),
  unit: z.string().optional(),
  everyMs: ms,
  stream: z.string(),
  address: z.string().optional(),
  writable: z
    .strictObject({
      min: z.number().optional(),
      max: z.number().optional(),
      maxStep: z.number().optional(),
      everyMs: ms.optional(),
    })
    .optional(),
  derived: z.boolean(),
  history: z.boolean().describe("Whether numbers are kept for a plot."),
});
export const deviceView = z.strictObject({ ...deviceBrief.shape, values: z.array(tagView) });
export const historyView = z.strictObject({
  device: z.string(),
  tag: z.string(),
  from: ms,
  stepMs: ms,
  min: z
    .array(z.number().nullable())
    .describe("Least value in each step, oldest first; null where there was none that is good."),
  max: z.array(z.number().nullable()),
});

export const queueView = z.strictObject({
  stats: more.describe("As `millrace queue stats --json`: streams, uplinks with their lanes, quarantine, wear."),
  gaps: z.array(
    z.strictObject({
      uplink: z.string(),
      stream: z.string(),
      from: count.optional(),
      to: count.optional(),
      count: count.optional(),
      reason: z.string(),
    }),
  ),
  deadLetters: z.array(
    z.strictObject({ uplink: z.string(), records: count, bytes: count, oldest: ms.optional(), dropped: count }),
  ),
});
export const recordsView = z.strictObject({ records: z.array(more) });

const certificate = z.strictObject({
  file: z.string(),
  subject: z.string(),
  validTo: ms.optional(),
  daysLeft: z.number().optional(),
  error: z.string().optional(),
});
export const uplinkView = z.strictObject({
  ...uplinkBrief.shape,
  select: z.array(z.string()),
  order: z.string(),
  retrying: count,
  connections: count,
  limits: z
    .strictObject({ inFlight: count, maxBytes: count.optional(), properties: z.boolean() })
    .optional()
    .describe("What the far side allows; while connected."),
  maxRate: z.strictObject({ messages: z.number().optional(), bytes: z.number().optional() }),
  maxBacklog: z.strictObject({
    bytes: z.number().optional(),
    age: z.number().optional(),
    retain: z.number().optional(),
  }),
  backfill: more.optional(),
  streams: more,
  certificates: z.array(certificate),
});

export const logsView = z.strictObject({
  lines: z.array(
    z.strictObject({
      n: count.describe("Ask for those after it."),
      time: ms,
      level: z.string(),
      message: z.string(),
      fields: more,
    }),
  ),
  lost: count.describe("Lines after `after` that are not held any more."),
});

export const auditEntry = z.strictObject({
  seq: count,
  time: z.string(),
  clock: z.string(),
  actor: z.string(),
  address: z.string().optional(),
  action: z.string(),
  target: z.string().optional(),
  outcome: z.string(),
  detail: z.string().optional(),
  prev: z.string(),
  hash: z.string(),
});
export const auditView = z.strictObject({ entries: z.array(auditEntry) });
export const auditReport = z.strictObject({
  entries: count,
  from: count.optional(),
  to: count.optional(),
  head: z.string().optional(),
  faults: z.array(z.strictObject({ file: z.string(), line: count.optional(), what: z.string() })),
  more: count,
});

export const userView = z.strictObject({
  name: z.string(),
  role: roleName,
  created: ms,
  changed: ms,
  lastLogin: ms.optional().describe("As far as the newest 1,000 entries of the audit trail tell."),
  sessions: count,
  locked: z
    .array(z.strictObject({ address: z.string(), forMs: ms }))
    .describe("Addresses from which the user has failed too often."),
});
export const usersView = z.strictObject({ users: z.array(userView) });
export const ownSessionsView = z.strictObject({
  sessions: z.array(
    z.strictObject({
      id: z.string().describe("Only for ending it: it is no way in."),
      address: z.string().describe("Where it began."),
      agoMs: ms.describe("Since it began."),
      idleMs: ms.describe("Since its last request."),
      own: z.boolean().describe("True for the one that asks."),
    }),
  ),
});
export const tokenView = z.strictObject({
  id: z.string(),
  name: z.string(),
  scopes: z.array(scopeName),
  created: ms,
  createdBy: z.string(),
  expires: ms.optional(),
});
export const tokensView = z.strictObject({ tokens: z.array(tokenView) });
export const newToken = z.strictObject({
  token: z.string().describe("Shown this once; only a hash of it is kept."),
  ...tokenView.shape,
});

export const writeView = z.strictObject({
  results: z.array(
    z.strictObject({
      tag: z.string(),
      ok: z.boolean(),
      reason: z.string().optional(),
      before: value.optional(),
      after: value.optional(),
    }),
  ),
});

export const scanView = z.strictObject({
  id: z.string(),
  line: z.string(),
  state: z.enum(["running", "done", "stopped", "failed"]),
  asked: count,
  total: count,
  units: z.array(
    z.strictObject({
      unit: count,
      answer: z.string(),
      objects: z.record(z.string(), z.string()),
      serverId: z.string().optional(),
    }),
  ),
  error: z.string().optional(),
});
export const candidate = z.strictObject({
  type: z.string(),
  order: z.string(),
  bit: count.optional(),
  same: z.array(z.string()).describe("Other readings that give the same values."),
  values: z.array(value),
  scale: z.number().optional(),
  fits: z.boolean().optional().describe("Whether it is what was expected; only with `expect`."),
  why: z.array(z.string()),
  config: z.string().describe("A line for the configuration."),
});
export const interpretations = z.strictObject({
  address: z.string(),
  words: z.array(z.string()).describe("The registers as they came, in hex."),
  refused: z.string().optional(),
  candidates: z.array(candidate).describe("The likeliest first."),
});

export type Overview = z.infer<typeof overview>;
export type LinkBrief = z.infer<typeof linkBrief>;
export type LinkView = z.infer<typeof linkView>;
export type DeviceBrief = z.infer<typeof deviceBrief>;
export type DeviceView = z.infer<typeof deviceView>;
export type TagState = z.infer<typeof tagState>;
export type TagView = z.infer<typeof tagView>;
export type HistoryView = z.infer<typeof historyView>;
export type QueueView = z.infer<typeof queueView>;
export type UplinkBrief = z.infer<typeof uplinkBrief>;
export type UplinkView = z.infer<typeof uplinkView>;
export type LogsView = z.infer<typeof logsView>;
export type ScanView = z.infer<typeof scanView>;
export type Interpretations = z.infer<typeof interpretations>;
export type WriteView = z.infer<typeof writeView>;
