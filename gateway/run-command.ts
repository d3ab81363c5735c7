import { dirname, resolve } from "node:path";
import { destination, pino } from "pino";
import { Sessions } from "./accounts/sessions.ts";
import { dataFolder } from "./cli/audit.ts";
import type { CliIo } from "./cli/io.ts";
import { answers } from "./cli/queue/client.ts";
import { runRun } from "./cli/run.ts";
import { checkText, loadConfig } from "./config/load.ts";
import { noAudit } from "./core/audit.ts";
import { ConfigError } from "./core/errors.ts";
import { SESSION } from "./front.ts";
import { Gateway } from "./gateway.ts";
import { findControl } from "./http/control-path.ts";
import { CommitDesk } from "./reload/commit.ts";
import { ConfigHistory } from "./reload/history.ts";
import { planReload } from "./reload/plan.ts";
import { recoverPending } from "./reload/recover.ts";
import { SystemClock } from "./system/clock.ts";
import { boundHeap } from "./system/heap.ts";
import { isJournal, withPriority } from "./system/journal-lines.ts";
import { LogLines } from "./system/log-lines.ts";
import { Progress } from "./system/progress.ts";
import { PromMetrics } from "./system/prom-metrics.ts";
import { SdNotify, stuckLimitMs } from "./system/sd-notify.ts";

/** `millrace run`, with everything it is made of. */
export function runCommand(args: string[], io: CliIo): Promise<number> {
  boundHeap();
  const metrics = new PromMetrics();
  metrics.collectProcess();
  const clock = new SystemClock();
  const wallMs = () => clock.now().wallMs;
  const sessions = new Sessions(SESSION, () => performance.now());
  let current: Gateway | undefined;
  const logs = new LogLines();
  return runRun(args, io, {
    load: (file) => loadConfig(file, { env: io.env, cwd: io.cwd }),
    logger: (level) => {
      const out = destination({ fd: 1, sync: true });
      const form = isJournal(io.env, 1) ? withPriority : (line: string) => line;
      const both = {
        write: (line: string) => {
          out.write(form(line));
          logs.write(line);
        },
      };
      return pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } }, both);
    },
    recover: async (file) => {
      const dataDir = await dataFolder({ config: file }, io).catch(() => undefined);
      // One that runs decides for itself.
      if (dataDir === undefined || (await answers(await findControl(dataDir)).catch(() => true))) return undefined;
      return await recoverPending(new ConfigHistory(dataDir, wallMs));
    },
    commits: (first, reloads, log) => {
      const file = resolve(io.cwd, first.file);
      const planOf = async (text: string) => {
        const running = reloads.config ?? first;
        const next = await checkText(text, first.file, dirname(file), { env: io.env });
        if (next.gateway.dataDir !== running.gateway.dataDir)
          throw new ConfigError(
            "gateway.dataDir cannot be changed here: the data stays where it is; see docs/operations.md",
          );
        return planReload(running, next);
      };
      return new CommitDesk({
        file,
        history: new ConfigHistory(first.gateway.dataDir, wallMs),
        reloader: reloads,
        planOf,
        condition: () => reloads.life?.condition() ?? new Map(),
        audit: () => reloads.life?.trail ?? noAudit,
        log: log.child({ part: "configuration" }),
      });
    },
    gateway: (config, log, desks) => {
      current = new Gateway({
        config,
        clock,
        log,
        metrics,
        metricsText: () => metrics.text(),
        env: io.env,
        nodeVersion: io.nodeVersion,
        logs,
        sessions,
        ...desks,
        ...(io.errTty ? { announce: (text: string) => io.err(text) } : {}),
      });
      return current;
    },
    supervisor: (log) => {
      const workers = () => current?.workers() ?? [];
      const progress = new Progress({ workers, limitMs: stuckLimitMs(io.env), log, metrics });
      const { env, monotonicMs: monoMs } = io;
      return new SdNotify({ env, stuck: () => progress.look(), monoMs, log, metrics });
    },
  });
}
