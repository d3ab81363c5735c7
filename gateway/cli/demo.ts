import { relative } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { DriverModule } from "../core/driver.ts";
import { formatDuration } from "../core/options/units.ts";
import type { DemoModel } from "./demo/model.ts";
import { Outage } from "./demo/outage.ts";
import { Shop } from "./demo/shop.ts";
import { arrived, ENTER_SCREEN, frame, LEAVE_SCREEN, renderFirst, renderLine, renderScreen } from "./demo/view.ts";
import { asCommand, type CliIo, durationOption, EXIT, parseCommand, UsageError } from "./io.ts";
import { answer } from "./verify/report.ts";

const HELP = `millrace demo: a press shop on this machine, to see what the gateway is for.

Usage: millrace demo [--outage 20s] [--for 60s] [--keep]

A PLC on Modbus TCP, an energy meter on a serial line (pseudo-terminals), a sensor that speaks MQTT, the gateway as a
process of its own, and an upstream broker with a receiver that proves that nothing is missing. All on loopback, no
questions asked. Kill the gateway, as hard as you like: it is started again.

  --outage 20s   after 10 s of running, the upstream is unreachable for this time
  --for 60s      end by itself and print the summary; exit 1 when something is missing
  --keep         leave configuration, queue and log of the gateway behind
  --plain        lines instead of the screen

Ctrl-C ends it.

Example: millrace demo --outage 20s
`;

const OPTIONS = {
  outage: { type: "string" },
  for: { type: "string" },
  keep: { type: "boolean" },
  plain: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

const SCREEN_EVERY_MS = 500;
const LINE_EVERY_MS = 5_000;
const POLL_EVERY_MS = 1_000;

export interface DemoDeps {
  readonly drivers: readonly DriverModule[];
}

/** `millrace demo`; resolves with a sysexits code when the signal aborts or `--for` is over. */
export function runDemo(args: string[], io: CliIo, deps?: DemoDeps): Promise<number> {
  return asCommand("demo", io, async () => {
    const { values, positionals } = parseCommand(args, OPTIONS);
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (positionals.length > 0) throw new UsageError(`"${positionals[0]}" is not an option`);
    const outageMs = durationOption("outage", values.outage);
    const forMs = durationOption("for", values.for);
    const drivers = deps?.drivers ?? (await import("../../drivers/index.ts")).driverModules;
    const screen = io.tty && values.plain !== true;
    return await new Demo(io, { drivers, keep: values.keep === true, outageMs, forMs, screen }).run();
  });
}

interface DemoOptions extends DemoDeps {
  readonly keep: boolean;
  readonly outageMs: number | undefined;
  readonly forMs: number | undefined;
  readonly screen: boolean;
}

/** One run of the demo: shows the shop, and takes the upstream away and brings it back. */
class Demo {
  readonly #io: CliIo;
  readonly #options: DemoOptions;
  readonly #shop: Shop;
  readonly #end = new AbortController();
  #outage: Outage | undefined;
  #event = "";
  #hopeless = false;
  #firstShown = false;
  #lineDueMs = 0;
  #pollDueMs = 0;

  constructor(io: CliIo, options: DemoOptions) {
    this.#io = io;
    this.#options = options;
    this.#shop = new Shop({
      io,
      drivers: options.drivers,
      keep: options.keep,
      tell: (text) => this.#tell(text),
      hopeless: () => {
        this.#hopeless = true;
        this.#end.abort();
      },
    });
  }

  async run(): Promise<number> {
    let model: DemoModel | undefined;
    try {
      model = await this.#shop.start();
      if (this.#options.screen) this.#io.out(ENTER_SCREEN);
      await this.#loop(model, AbortSignal.any([this.#io.signal, this.#end.signal]));
      await this.#outage?.stop();
      await this.#shop.stopPlant();
    } finally {
      if (this.#options.screen) this.#io.out(LEAVE_SCREEN);
      if (this.#hopeless) this.#io.err(`The gateway does not run:\n${await this.#shop.gateway?.lastWords(10)}\n`);
      await this.#shop.stop();
    }
    return this.#conclude(model);
  }

  async #loop(model: DemoModel, signal: AbortSignal): Promise<void> {
    const { outageMs, forMs, screen } = this.#options;
    const started = performance.now();
    let polling: Promise<void> | undefined;
    while (!signal.aborted) {
      const elapsedMs = performance.now() - started;
      if (forMs !== undefined && elapsedMs >= forMs) break;
      if (model.firstValueMs !== undefined) this.#first(model, outageMs);
      if (elapsedMs >= this.#pollDueMs && polling === undefined) {
        this.#pollDueMs = elapsedMs + POLL_EVERY_MS;
        polling = this.#shop.poll(signal).finally(() => {
          polling = undefined;
        });
      }
      this.#outage?.watch(model);
      this.#show(model, elapsedMs);
      const untilEnd = forMs === undefined ? Number.POSITIVE_INFINITY : forMs - elapsedMs;
      await delay(Math.min(screen ? SCREEN_EVERY_MS : 100, untilEnd), undefined, { signal }).catch(() => {});
    }
    await polling;
  }

  /** The first values are upstream: from here on an outage shows something. */
  #first(model: DemoModel, outageMs: number | undefined): void {
    if (this.#firstShown) return;
    this.#firstShown = true;
    this.#tell(renderFirst(model));
    if (outageMs === undefined) return;
    this.#outage = new Outage({ upstream: this.#shop.upstream, lengthMs: outageMs, tell: (text) => this.#tell(text) });
    this.#outage.start();
  }

  #show(model: DemoModel, elapsedMs: number): void {
    if (this.#options.screen) {
      this.#io.out(frame(renderScreen(model, this.#facts(elapsedMs))));
    } else if (this.#firstShown && elapsedMs >= this.#lineDueMs) {
      this.#lineDueMs = elapsedMs + LINE_EVERY_MS;
      this.#io.out(`${renderLine(model, this.#facts(elapsedMs))}\n`);
    }
  }

  /** How to call this program from the folder the user is in: it may not be installed. */
  #program(): string {
    return `node ${relative(this.#io.cwd, this.#io.argv1)}`;
  }

  #facts(elapsedMs: number) {
    const pid = this.#shop.gateway?.pid;
    const kill = pid === undefined ? "" : `kill -9 ${pid}`;
    const outage = this.#options.outageMs === undefined ? "   or start again with --outage 20s" : "";
    return {
      nowMs: Date.now(),
      elapsedMs,
      httpUrl: this.#shop.httpUrl,
      gatewayPid: pid,
      restarts: this.#shop.gateway?.restarts ?? 0,
      sensorAcknowledged: this.#shop.sensorAcknowledged,
      upstream: this.#shop.upstream.isUp ? "reachable" : `UNREACHABLE, ${this.#outage?.remaining() ?? ""}`,
      event: this.#event,
      hints: [
        `Try:  ${kill}${outage}`,
        `      ${this.#program()} status --url ${this.#shop.httpUrl}`,
        "      Ctrl-C ends the demo",
      ],
      width: Math.max(this.#io.columns, 60),
      colour: this.#io.env["NO_COLOR"] === undefined,
    };
  }

  #tell(text: string): void {
    this.#event = text;
    if (!this.#options.screen) this.#io.out(`${text}\n`);
  }

  #conclude(model: DemoModel | undefined): number {
    if (this.#options.keep) this.#io.out(`Kept: ${this.#shop.folder}\n`);
    if (this.#hopeless || !model) return EXIT.software;
    const verdict = model.verdict();
    const first = model.firstValueMs;
    const after = first === undefined ? "" : `First values upstream after ${formatDuration(first)}. `;
    const sensor = `Sensor: ${this.#shop.sensorAcknowledged} acknowledged, ${arrived(model)} arrived.`;
    this.#io.out(`${answer(verdict)}\n${after}${sensor}\n`);
    // Ctrl-C is how the demo is meant to end; only a run of a given length gives a judgement.
    if (this.#options.forMs === undefined || this.#io.signal.aborted) return EXIT.ok;
    return verdict.complete && verdict.received > 0 ? EXIT.ok : EXIT.no;
  }
}
