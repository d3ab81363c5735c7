import { checkTopic } from "../../core/selector.ts";

const NAMESPACE = "spBv1.0";

export type NodeMessage = "NBIRTH" | "NDATA" | "NDEATH" | "NCMD";
export type DeviceMessage = "DBIRTH" | "DDATA" | "DDEATH" | "DCMD";

/** What may come down to an edge node. */
export type Heard =
  | { readonly kind: "ncmd" }
  | { readonly kind: "dcmd"; readonly device: string }
  | { readonly kind: "state"; readonly host: string }
  | { readonly kind: "other" };

/** Topics of one edge node: `spBv1.0/{group}/{type}/{node}[/{device}]` (Sparkplug 3.0, 4.1). */
export class NodeTopics {
  readonly #group: string;
  readonly #node: string;

  /** @throws RangeError when an id is empty or has `+`, `/` or `#`. */
  constructor(group: string, node: string) {
    this.#group = checkId(group);
    this.#node = checkId(node);
  }

  /** Of a device's message without the device: what its filter begins with. */
  node(type: NodeMessage | DeviceMessage): string {
    return `${NAMESPACE}/${this.#group}/${type}/${this.#node}`;
  }

  device(type: DeviceMessage, device: string): string {
    return `${NAMESPACE}/${this.#group}/${type}/${this.#node}/${checkId(device)}`;
  }

  read(topic: string): Heard {
    if (topic === this.node("NCMD")) return { kind: "ncmd" };
    const [namespace, group, type, node, device, ...more] = topic.split("/");
    if (namespace !== NAMESPACE) return { kind: "other" };
    if (group === "STATE" && type !== undefined && node === undefined) return { kind: "state", host: type };
    const mine = group === this.#group && type === "DCMD" && node === this.#node && more.length === 0;
    return mine && device !== undefined && device !== "" ? { kind: "dcmd", device } : { kind: "other" };
  }
}

/** Where a host application says whether it is online. */
export function stateTopic(host: string): string {
  return `${NAMESPACE}/STATE/${checkId(host)}`;
}

/** @throws RangeError when it cannot be an id of a group, node, device or host. */
export function checkId(id: string): string {
  checkTopic(id);
  if (id.includes("/")) throw new RangeError(`"${id}" must not contain "/"`);
  return id;
}

/** What a host says of itself; undefined when it is not of that form. */
export function readState(payload: Uint8Array): { readonly online: boolean; readonly timestamp: number } | undefined {
  try {
    const json: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
    if (typeof json !== "object" || json === null || !("online" in json) || !("timestamp" in json)) return undefined;
    const { online, timestamp } = json;
    if (typeof online !== "boolean" || typeof timestamp !== "number" || !Number.isFinite(timestamp)) return undefined;
    return { online, timestamp };
  } catch {
    return undefined;
  }
}
