import { once } from "node:events";
import { createServer } from "node:http";
import { z } from "zod";

/** What a collector takes by the JSON encoding of OTLP 1.x; an unknown key is a misspelt one. */
const value = z.union([
  z.strictObject({ stringValue: z.string() }),
  z.strictObject({ boolValue: z.boolean() }),
  z.strictObject({ intValue: z.string().regex(/^-?\d+$/) }),
  z.strictObject({ doubleValue: z.number() }),
]);
const attributes = z.array(z.strictObject({ key: z.string().min(1), value }));
const nanos = z.string().regex(/^[1-9]\d{18}$/);
const span = z.strictObject({
  traceId: z.string().regex(/^[0-9a-f]{32}$/),
  spanId: z.string().regex(/^[0-9a-f]{16}$/),
  parentSpanId: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .optional(),
  name: z.string().min(1),
  kind: z.literal(1),
  startTimeUnixNano: nanos,
  endTimeUnixNano: nanos,
  attributes,
  status: z.union([z.strictObject({}), z.strictObject({ code: z.literal(2), message: z.string() })]),
});
const request = z.strictObject({
  resourceSpans: z.array(
    z.strictObject({
      resource: z.strictObject({ attributes }),
      scopeSpans: z.array(
        z.strictObject({
          scope: z.strictObject({ name: z.string(), version: z.string() }),
          spans: z.array(span).min(1),
        }),
      ),
    }),
  ),
});
export type CollectedSpan = z.infer<typeof span>;

export interface Collector {
  readonly endpoint: string;
  readonly spans: CollectedSpan[];
  /** Bodies as they came. */
  readonly bodies: string[];
  /** What was wrong with a request; empty where all is well. */
  readonly faults: string[];
  /** Answers with this from now on. */
  status: number;
  stop(): Promise<void>;
}

/** A collector that takes only what the encoding allows. */
export async function startCollector(port = 0): Promise<Collector> {
  const server = createServer((asked, answer) => {
    let body = "";
    asked.setEncoding("utf8");
    asked.on("data", (chunk) => {
      body += chunk;
    });
    asked.once("end", () => {
      if (asked.method !== "POST" || asked.url !== "/v1/traces") collector.faults.push(`${asked.method} ${asked.url}`);
      if (asked.headers["content-type"] !== "application/json") collector.faults.push("not JSON");
      const read = request.safeParse(JSON.parse(body));
      if (!read.success) collector.faults.push(read.error.message);
      else if (collector.status === 200) {
        collector.bodies.push(body);
        for (const { scopeSpans } of read.data.resourceSpans)
          collector.spans.push(...scopeSpans.flatMap(({ spans }) => spans));
      }
      answer.writeHead(collector.status, { "content-type": "application/json" }).end("{}");
    });
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const at = typeof address === "object" && address ? address.port : 0;
  const collector: Collector = {
    endpoint: `http://127.0.0.1:${at}`,
    spans: [],
    bodies: [],
    faults: [],
    status: 200,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return collector;
}

/** The value of an attribute. */
export function attribute({ attributes: all }: CollectedSpan, key: string): unknown {
  const found = all.find((one) => one.key === key)?.value;
  return found && Object.values(found)[0];
}
