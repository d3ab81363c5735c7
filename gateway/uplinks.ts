import { isAbsolute, resolve } from "node:path";
import { secretReader } from "./config/secrets.ts";
import { overlap } from "./config/topics.ts";
import type { LoadedConfig, LoadedUplink, UplinkShared } from "./config/types.ts";
import type { Clock } from "./core/clock.ts";
import type { Logger } from "./core/log.ts";
import type { Metrics } from "./core/metrics.ts";
import type { Plant } from "./core/plant.ts";
import type { Queue } from "./core/queue.ts";
import type { WayTracer } from "./core/trace.ts";
import type { Uplink, UplinkPolicy } from "./core/uplink.ts";
import type { Worker } from "./core/work.ts";
import { type DownlinkParts, RunningDownlink } from "./downlink.ts";
import { willMessage } from "./northbound/control.ts";
import { DeadLetterFiles } from "./northbound/dead-letter-files.ts";
import { withAnswers } from "./northbound/encoders/answers.ts";
import { makeEncoder } from "./northbound/encoders/options.ts";
import { recordEncoder } from "./northbound/encoders/record.ts";
import { Forwarder, type ForwarderStatus } from "./northbound/forwarder.ts";
import { formedTopics, limitedTopics } from "./northbound/topic-form.ts";
import { type TopicMapper, topicMapper } from "./northbound/topics.ts";

export interface UplinkParts {
  readonly config: LoadedConfig;
  readonly queue: Queue;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where goes what comes down. */
  readonly down: Pick<DownlinkParts, "commands" | "publish" | "started">;
  /** Follows records on their way; nobody does where it is absent. */
  readonly tracer?: WayTracer | undefined;
  /** The plant as this uplink sees it. */
  readonly plant?: Plant;
}

/** One uplink of the configuration, with all it is made of. */
export class RunningUplink {
  readonly #forwarder: Forwarder;
  readonly #deadLetters: DeadLetterFiles;

  constructor(uplink: LoadedUplink, parts: UplinkParts) {
    const { config, queue, clock, metrics, env, down } = parts;
    const { name, module, options, shared } = uplink;
    const log = parts.log.child({ uplink: name });
    const gatewayId = config.gateway.id;
    const policy = module.policy?.(options, { name, gatewayId }) ?? {};
    const topics = topicsOf(shared, gatewayId, policy);
    this.#deadLetters = new DeadLetterFiles({
      dataDir: config.gateway.dataDir,
      uplink: name,
      gatewayId,
      maxBytes: shared.deadLetters.bytes,
      maxAgeMs: shared.deadLetters.age,
      clock,
      log,
      metrics,
    });
    const path = (relative: string) => (isAbsolute(relative) ? relative : resolve(config.folder, relative));
    const { accept: rules = [] } = policy;
    const downlink =
      rules.length === 0 ? undefined : new RunningDownlink({ ...down, uplink: name, gatewayId, rules, log, metrics });
    const encoder = policy.records === true ? recordEncoder : makeEncoder(shared.encoder);
    const make = (): Uplink =>
      module.create(options, {
        name,
        gatewayId,
        log,
        metrics,
        clock,
        will: willMessage(topics, gatewayId, name),
        ...(downlink === undefined ? {} : { downlink }),
        dataDir: config.gateway.dataDir,
        ...(parts.plant === undefined ? {} : { plant: parts.plant }),
        secret: secretReader(config.folder, env),
        path,
      });
    this.#forwarder = new Forwarder({
      name,
      queue,
      gatewayId,
      uplink: make,
      encoder:
        downlink === undefined
          ? encoder
          : withAnswers(encoder, (topic, payload) => down.commands.answerFor(name, topic, payload)),
      topics,
      clock,
      log,
      metrics,
      deadLetters: this.#deadLetters,
      tracer: parts.tracer,
      options: {
        order: shared.order,
        maxRate: { ...policy.maxRate, ...shared.maxRate },
        keys: policy.keys === true,
        ...(policy.batch === undefined ? {} : { batch: policy.batch }),
        ...(policy.leastPauseMs === undefined ? {} : { leastPauseMs: policy.leastPauseMs }),
      },
    });
  }

  async start(): Promise<void> {
    await this.#deadLetters.start();
    this.#forwarder.start();
  }

  /** Idempotent, never rejects. */
  async stop(): Promise<void> {
    await this.#forwarder.stop();
    await this.#deadLetters.stop();
  }

  get worker(): Worker {
    return this.#forwarder;
  }

  status(): ForwarderStatus {
    return this.#forwarder.status();
  }
}

/** How topics of records are named for this uplink. */
export function topicsOf(
  shared: UplinkShared,
  gatewayId: string,
  { topics, form, client = "" }: UplinkPolicy,
): TopicMapper {
  const { topic, map, topicLimits } = shared;
  let mapper = topicMapper(topic, gatewayId, { map, limits: topicLimits });
  if (topics !== undefined) mapper = limitedTopics(mapper, topics);
  return form === undefined ? mapper : formedTopics(mapper, form, client);
}

/** Who sends commands down is told their results, whatever it selects. */
export function selectionOf(
  { name, module, options, shared }: LoadedConfig["uplinks"][number],
  config: LoadedConfig,
): string[] {
  const { accept = [] } = module.policy?.(options, { name, gatewayId: config.gateway.id }) ?? {};
  const { topic } = config.commands;
  const mayCommand = accept.some(({ to }) => overlap(to, `${topic}/+/write`));
  return mayCommand ? [...shared.select, `${topic}/+/result`] : [...shared.select];
}
