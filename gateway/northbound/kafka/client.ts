import { Buffer } from "node:buffer";
import type { Consumer, EachMessagePayload, IHeaders, Kafka, KafkaConfig, Producer } from "kafkajs";
import { ConfigError, messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import { within } from "../pause.ts";
import { faultOf } from "./faults.ts";
import { mendLibrary } from "./mended.ts";
import { remembering } from "./partitioner.ts";
import { Sockets } from "./sockets.ts";
import { KafkaFault, type KafkaMessage, type KafkaReceived, type KafkaTransport } from "./transport.ts";

export interface ClientSettings {
  readonly clientId: string;
  readonly brokers: readonly string[];
  readonly ssl: KafkaConfig["ssl"];
  readonly sasl: KafkaConfig["sasl"];
  readonly idempotent: boolean;
  readonly gzip: boolean;
  /** Makes topics that are not there. */
  readonly declare: { readonly partitions: number | undefined; readonly replication: number | undefined } | undefined;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly group: string;
  readonly log: Logger;
}

const CLOSED = "the uplink is closed";
const CLOSE_MS = 1500;
const SESSION_MS = 10_000;
const CONSUME_AGAIN_MS = 15_000;
/** The library's own, of which it wants at least one; ours are the outbox's. */
const RETRY = { retries: 1, initialRetryTime: 100, maxRetryTime: 1000 };
const CLUSTER_DEFAULT = -1;
const ALL_IN_SYNC = -1;

/** A cluster by kafkajs, which is loaded when it is first needed. */
export class KafkaClient implements KafkaTransport {
  readonly #settings: ClientSettings;
  #kafka: Kafka | undefined;
  #producer: Producer | undefined;
  #consumer: Consumer | undefined;
  #sockets: Sockets | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Topics that were made or seen. */
  readonly #seen = new Set<string>();

  constructor(settings: ClientSettings) {
    this.#settings = settings;
  }

  async connect(topics: readonly string[]): Promise<void> {
    const { clientId, brokers, ssl, sasl, connectTimeoutMs, requestTimeoutMs, log } = this.#settings;
    const { Kafka, logLevel } = await loadLibrary();
    const sockets = new Sockets(ssl === undefined || ssl === false ? undefined : ssl === true ? {} : ssl);
    this.#sockets = sockets;
    if (this.#closed) sockets.destroy(new KafkaFault("lost", CLOSED));
    this.#kafka = new Kafka({
      clientId,
      brokers: [...brokers],
      ...(ssl === undefined ? {} : { ssl }),
      socketFactory: sockets.factory,
      ...(sasl === undefined ? {} : { sasl }),
      connectionTimeout: connectTimeoutMs,
      authenticationTimeout: connectTimeoutMs,
      requestTimeout: requestTimeoutMs,
      enforceRequestTimeout: true,
      // Each attempt to connect takes the next broker: as many as there are.
      retry: { ...RETRY, retries: Math.max(RETRY.retries, brokers.length - 1) },
      logLevel: logLevel.ERROR,
      logCreator:
        () =>
        ({ namespace, log: { message } }) =>
          log.debug({ namespace, said: message }, "kafkajs"),
    });
    await this.renew();
    if (topics.length > 0) await this.#look(topics);
  }

  async produce(messages: readonly KafkaMessage[]): Promise<void> {
    const { gzip, declare, requestTimeoutMs } = this.#settings;
    const byTopic = new Map<string, { key: string; value: Buffer; headers: IHeaders }[]>();
    for (const { topic, key, value, headers } of messages) {
      const list = byTopic.get(topic) ?? [];
      if (list.length === 0) byTopic.set(topic, list);
      list.push({ key, value: bufferOf(value), headers: headersOf(headers) });
    }
    const { CompressionTypes } = await loadLibrary();
    try {
      if (declare) await this.#make([...byTopic.keys()].filter((topic) => !this.#seen.has(topic)));
      await this.#producer?.sendBatch({
        acks: ALL_IN_SYNC,
        timeout: Math.round(requestTimeoutMs / 2),
        compression: gzip ? CompressionTypes.GZIP : CompressionTypes.None,
        topicMessages: Array.from(byTopic, ([topic, list]) => ({ topic, messages: list })),
      });
    } catch (error) {
      throw faultOf(error, `topic ${[...byTopic.keys()].join(", ")}`);
    }
    if (this.#producer === undefined) throw new KafkaFault("lost", "not connected");
  }

  async renew(): Promise<void> {
    const { idempotent } = this.#settings;
    const old = this.#producer;
    this.#producer = undefined;
    await old?.disconnect().catch(() => {});
    const { Partitioners } = await loadLibrary();
    const made = this.#kafka?.producer({
      idempotent,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      metadataMaxAge: 60_000,
      createPartitioner: remembering(Partitioners.DefaultPartitioner),
      retry: RETRY,
    });
    try {
      await made?.connect();
    } catch (error) {
      await made?.disconnect().catch(() => {});
      throw faultOf(error, this.#settings.brokers.join(", "));
    }
    this.#producer = made;
    if (this.#closed) await this.close();
  }

  consume(
    topics: readonly string[],
    take: (message: KafkaReceived, alive: () => Promise<void>) => Promise<void>,
    told: (fault: string | undefined) => void,
  ): void {
    const again = (reason: string) => {
      if (this.#closed) return;
      told(reason);
      this.#timer = setTimeout(() => this.consume(topics, take, told), CONSUME_AGAIN_MS);
    };
    this.#consume(topics, take, told, again).catch((error: unknown) => again(faultOf(error, "accept").message));
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const [producer, consumer] = [this.#producer, this.#consumer];
    this.#producer = undefined;
    this.#consumer = undefined;
    const done = [consumer?.disconnect(), producer?.disconnect()].map((one) => one?.catch(() => {}));
    await within(CLOSE_MS, Promise.all(done));
    // It waits for answers first, which may never come.
    this.#sockets?.destroy(new KafkaFault("lost", CLOSED));
  }

  async #consume(
    topics: readonly string[],
    take: (message: KafkaReceived, alive: () => Promise<void>) => Promise<void>,
    told: (fault: string | undefined) => void,
    again: (reason: string) => void,
  ): Promise<void> {
    await this.#consumer?.disconnect().catch(() => {});
    const consumer = this.#kafka?.consumer({
      groupId: this.#settings.group,
      allowAutoTopicCreation: false,
      // As long as what a member that was killed had is nobody's.
      sessionTimeout: SESSION_MS,
      // The one who looks after it is here: it would begin anew without telling.
      retry: { ...RETRY, restartOnFailure: () => Promise.resolve(false) },
    });
    if (consumer === undefined) return;
    this.#consumer = consumer;
    consumer.on(consumer.events.CRASH, ({ payload: { error } }) => again(faultOf(error, "accept").message));
    consumer.on(consumer.events.GROUP_JOIN, () => told(undefined));
    await consumer.connect();
    // A group that is new begins with what is there: a plan that was made before the gateway is a plan.
    await consumer.subscribe({ topics: [...topics], fromBeginning: true });
    await consumer.run({ autoCommit: false, eachMessage: (one) => this.#each(consumer, one, take) });
  }

  async #each(
    consumer: Consumer,
    { topic, partition, message, heartbeat }: EachMessagePayload,
    take: (message: KafkaReceived, alive: () => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const { key, value, headers = {}, offset } = message;
    const pairs = Object.entries(headers).flatMap(([name, one]): [string, string][] =>
      one === undefined || Array.isArray(one) ? [] : [[name, one.toString()]],
    );
    await take({ topic, key: key?.toString(), value: value ?? Buffer.alloc(0), headers: pairs }, heartbeat);
    await consumer.commitOffsets([{ topic, partition, offset: String(BigInt(offset) + 1n) }]);
  }

  /** @throws KafkaFault `setup`, naming the topic that is not there. */
  async #look(topics: readonly string[]): Promise<void> {
    if (this.#settings.declare) {
      await this.#make(topics);
      return;
    }
    const admin = this.#kafka?.admin();
    try {
      await admin?.connect();
      await admin?.fetchTopicMetadata({ topics: [...topics] });
      for (const topic of topics) this.#seen.add(topic);
    } catch (error) {
      const fault = faultOf(error, `topic ${topics.join(", ")}`);
      throw fault.kind === "topic" ? new KafkaFault("setup", fault.message, { cause: error }) : fault;
    } finally {
      await admin?.disconnect().catch(() => {});
    }
  }

  async #make(topics: readonly string[]): Promise<void> {
    const { declare, log } = this.#settings;
    if (topics.length === 0 || declare === undefined) return;
    const admin = this.#kafka?.admin();
    const { partitions = CLUSTER_DEFAULT, replication = CLUSTER_DEFAULT } = declare;
    try {
      await admin?.connect();
      const made = await admin?.createTopics({
        topics: topics.map((topic) => ({ topic, numPartitions: partitions, replicationFactor: replication })),
      });
      if (made === true) log.info({ topics }, "topics were made");
      for (const topic of topics) this.#seen.add(topic);
    } catch (error) {
      throw faultOf(error, `topic ${topics.join(", ")} cannot be made`);
    } finally {
      await admin?.disconnect().catch(() => {});
    }
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function headersOf(pairs: readonly (readonly [string, string])[]): IHeaders {
  const headers: IHeaders = {};
  for (const [name, value] of pairs) headers[name] = value;
  return headers;
}

async function loadLibrary() {
  try {
    const { default: library } = await import("kafkajs");
    mendLibrary();
    return library;
  } catch (error) {
    throw new ConfigError(`Kafka needs the package kafkajs: ${messageOf(error)}`, { cause: error });
  }
}
