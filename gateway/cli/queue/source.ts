import { createInterface } from "node:readline";
import { ConfigError, messageOf } from "../../core/errors.ts";
import { exportLines, type Forgotten, type RecordQuery, type Snapshot, type StoreStats } from "../../core/inspect.ts";
import { findControl } from "../../http/control-path.ts";
import { answers, ask, askJson, UnavailableError } from "./client.ts";
import { forgottenSchema, isStats, snapshotSchema } from "./shapes.ts";
import type { QueueTools } from "./tools.ts";
import type { Where } from "./where.ts";

/** The queue, of a running gateway or of a stopped one. */
export interface Source {
  readonly running: boolean;
  stats(signal: AbortSignal): Promise<StoreStats>;
  /** Text of whole lines or parts of them, as `exportLines` makes it. */
  lines(query: RecordQuery, signal: AbortSignal): AsyncIterable<string>;
  forget(uplink: string, configuredToo: boolean, signal: AbortSignal): Promise<Forgotten>;
  snapshot(signal: AbortSignal): Promise<Snapshot>;
}

/** @throws ConfigError when there is no queue, or it may not be read; UnavailableError when its gateway does not answer. */
export async function openSource(where: Where, tools: QueueTools): Promise<Source> {
  const path = await findControl(where.dataDir);
  if (await answers(path)) return live(path);
  const pid = await tools.lockHolder(where.dataDir);
  if (pid !== undefined) {
    throw new UnavailableError(
      `process ${pid} has ${where.dataDir} open and does not answer on its control socket; if it is starting, try again; ` +
        "if it is of an older version, stop it and read the queue stopped",
    );
  }
  const { dataDir, maxBytes } = where;
  const inspector = await tools.stopped({ dataDir, configured: where.configured ?? [], maxBytes });
  return {
    running: false,
    stats: () => inspector.stats(),
    lines: (query, signal) => exportLines(inspector, query, (entry) => tools.line(entry, where.gatewayId), signal),
    forget: (uplink, configuredToo) => {
      if (where.configured === undefined && !configuredToo) {
        throw new ConfigError("which uplinks are configured is not known; name the configuration with --config");
      }
      return inspector.forget(uplink, configuredToo);
    },
    snapshot: () => inspector.snapshot(),
  };
}

/** @throws ConfigError when a gateway runs. */
export async function mustBeStopped(dataDir: string, tools: QueueTools): Promise<void> {
  const pid = await tools.lockHolder(dataDir);
  if (pid === undefined) return;
  throw new ConfigError(`a gateway runs in ${dataDir} (process ${pid}); stop it first: systemctl stop millrace`);
}

function live(path: string): Source {
  return {
    running: true,
    stats: async (signal) => {
      const answer = await askJson(path, "GET", "/queue/stats", signal);
      if (isStats(answer)) return answer;
      throw new UnavailableError("the gateway's answer is not understood; it is of another version than this program");
    },
    async *lines(query, signal) {
      const params = new URLSearchParams();
      for (const [key, value] of Object.entries(query)) params.set(key, String(value));
      const response = await ask(path, "GET", `/queue/records?${params}`, signal);
      response.setEncoding("utf8");
      try {
        for await (const chunk of response) yield String(chunk);
      } catch (error) {
        signal.throwIfAborted();
        throw new UnavailableError(`the gateway stopped in the middle: ${messageOf(error)}`);
      }
    },
    forget: async (uplink, configuredToo, signal) => {
      const params = new URLSearchParams({ uplink, yes: configuredToo ? "1" : "0" });
      return forgottenSchema.parse(await askJson(path, "POST", `/queue/forget?${params}`, signal));
    },
    snapshot: async (signal) => {
      const response = await ask(path, "POST", "/queue/snapshot", signal);
      // The snapshot goes with the connection: whatever ends it shows in the files.
      response.on("error", () => {});
      for await (const line of createInterface({ input: response })) {
        const snapshot = snapshotSchema.parse(JSON.parse(line));
        return { ...snapshot, close: async () => void response.destroy() };
      }
      throw new UnavailableError("the gateway stopped in the middle");
    },
  };
}
