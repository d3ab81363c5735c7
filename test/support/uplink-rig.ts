import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { freePort, type Process, scratch, startGateway } from "./processes.ts";

/** Gateways as processes of their own, each with a folder and one uplink; what local clients publish under plant/ goes to it. */
export class UplinkRig {
  readonly #home: ReturnType<typeof scratch>;
  readonly #uplink: object;
  readonly #env: Record<string, string>;
  /** What is to be done at the end, the last one first. */
  readonly cleanUp: (() => unknown)[] = [];

  /** @param uplink what the uplinks of all configurations share: name, type and the like. @param env of every gateway. */
  constructor(name: string, uplink: object, env: Record<string, string> = {}) {
    this.#home = scratch(name);
    this.#uplink = uplink;
    this.#env = env;
  }

  /** Of this suite; it goes at the end. */
  get path(): string {
    return this.#home.path;
  }

  async end(): Promise<void> {
    for (const step of this.cleanUp.splice(0).reverse()) await step();
    this.#home.remove();
  }

  /** A configuration in a folder of its own, and the ports of its broker and of its HTTP server. */
  async configOf(name: string, uplink: object): Promise<{ file: string; local: number; http: number }> {
    const folder = join(this.path, name);
    mkdirSync(folder);
    const local = await freePort();
    const http = await freePort();
    const file = join(folder, "millrace.json");
    const config = {
      gateway: { id: "gw", dataDir: join(folder, "data") },
      queue: { minFree: "16MiB" },
      broker: { listeners: [{ port: local }] },
      capture: [{ topics: ["plant/#"], stream: "events" }],
      http: { port: http },
      uplinks: [{ ...this.#uplink, ...uplink }],
    };
    writeFileSync(file, JSON.stringify(config));
    return { file, local, http };
  }

  /** A gateway that has started; it is stopped at the end. */
  async running(file: string): Promise<Process> {
    const gateway = await startGateway(file, this.#env);
    this.cleanUp.push(() => gateway.stop());
    return gateway;
  }
}

/** Publishes at a local broker, to four topics in turn, and waits for every PUBACK. */
export async function publish(port: number, from: number, to: number, body = (n: number) => `${n}`): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 });
  const waiting: Promise<unknown>[] = [];
  for (let n = from; n < to; n++) waiting.push(client.publishAsync(`plant/line-${n % 4}`, body(n), { qos: 1 }));
  await Promise.all(waiting);
  await client.endAsync();
}

/** A record that the far side got. */
export interface Taken {
  /** Those of one are in order. */
  readonly topic: string;
  readonly n: number;
  /** Of the record. */
  readonly id: string;
}

/** Whether so many records are there, however often each came. */
export function areThere(got: readonly Pick<Taken, "id">[], least: number): boolean {
  return new Set(got.map(({ id }) => id)).size >= least;
}
