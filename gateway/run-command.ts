import { destination, pino } from "pino";
import type { CliIo } from "./cli/io.ts";
import { runRun } from "./cli/run.ts";
import { loadConfig } from "./config/load.ts";
import { Gateway } from "./gateway.ts";
import { SystemClock } from "./system/clock.ts";
import { LogLines } from "./system/log-lines.ts";
import { PromMetrics } from "./system/prom-metrics.ts";
import { SdNotify } from "./system/sd-notify.ts";

/** `millrace run`, with everything it is made of. */
export function runCommand(args: string[], io: CliIo): Promise<number> {
  const metrics = new PromMetrics();
  metrics.collectProcess();
  const clock = new SystemClock();
  let current: Gateway | undefined;
  const logs = new LogLines();
  return runRun(args, io, {
    load: (file) => loadConfig(file, { env: io.env, cwd: io.cwd }),
    logger: (level) => {
      const out = destination({ fd: 1, sync: true });
      const both = {
        write: (line: string) => {
          out.write(line);
          logs.write(line);
        },
      };
      return pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } }, both);
    },
    gateway: (config, log, reloads) => {
      current = new Gateway({
        config,
        clock,
        log,
        metrics,
        metricsText: () => metrics.text(),
        env: io.env,
        logs,
        reloads,
        ...(io.errTty ? { announce: (text: string) => io.err(text) } : {}),
      });
      return current;
    },
    supervisor: (log) => new SdNotify({ env: io.env, healthy: () => current?.health().ok ?? false, log }),
  });
}
