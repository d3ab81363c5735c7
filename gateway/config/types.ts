import type { Device, DriverModule, Request, Tag } from "../core/driver.ts";
import type { LearntStore } from "../core/learnt.ts";
import type { BrokerOptions, CaptureOptions } from "../core/options/broker.ts";
import type { CommandOptions } from "../core/options/commands.ts";
import type { HttpOptions } from "../core/options/http.ts";
import type { QueueOptions } from "../core/options/queue.ts";
import type { RecorderOptions } from "../core/options/recorder.ts";
import type { TelemetryOptions } from "../core/options/telemetry.ts";
import type { TopicLimits, TopicRule } from "../core/options/topic-map.ts";
import type { Recipe } from "../core/recipe.ts";
import type { StreamName } from "../core/record.ts";
import type { UplinkModule } from "../core/uplink.ts";
import type { EncoderOption } from "../northbound/index.ts";
import type { Located, Path, Position } from "./faults.ts";
import type { UsedProfile } from "./profiles/expand.ts";
import type { GatewayOptions } from "./section-schemas.ts";

/** What can stand behind `driver:` and `type:`, and what secrets in `env` are looked up in. */
export interface ConfigDeps {
  readonly drivers?: readonly DriverModule[];
  readonly uplinks?: readonly UplinkModule[];
  /** Absent: secrets from the environment are not looked for. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What gateways have learnt in a data folder, to plan with; never rejects. Absent: plans are as configured. */
  readonly learnt?: (dataDir: string) => Promise<LearntStore>;
  /** What relative file names start from; the working folder when absent. */
  readonly cwd?: string;
}

/** Tags of one device with the same `every` and stream, and the wire transactions that read them. */
export interface ScanGroup {
  readonly device: Device;
  readonly everyMs: number;
  readonly stream: StreamName;
  readonly tags: readonly Tag[];
  /** Tags worked out from others, whose samples go out with this group. */
  readonly derived: readonly Tag[];
  readonly requests: readonly Request[];
}

export interface LoadedLink {
  readonly name: string;
  readonly driver: DriverModule;
  /** The driver's own link options, parsed. */
  readonly options: unknown;
  readonly devices: readonly Device[];
  readonly groups: readonly ScanGroup[];
  readonly recorder: RecorderOptions;
  /** Wire transactions at once, as the driver says. */
  readonly concurrency: number;
}

/** The keys that every uplink has. */
export interface UplinkShared {
  readonly name: string;
  readonly select: readonly string[];
  /** Topic upstream, with placeholders; rules of `map` come before it. */
  readonly topic: string;
  readonly map: readonly TopicRule[];
  readonly topicLimits: TopicLimits;
  readonly encoder: EncoderOption;
  readonly from: "oldest" | "now";
  readonly required: boolean;
  readonly order: "fifo" | "live-first";
  /** Bytes, and milliseconds the gateway runs. */
  readonly maxBacklog: {
    readonly bytes?: number | undefined;
    readonly age?: number | undefined;
    readonly retain?: number | undefined;
  };
  /** Caps per second. */
  readonly maxRate: { readonly messages?: number | undefined; readonly bytes?: number | undefined };
  /** Bytes and milliseconds. */
  readonly deadLetters: { readonly bytes: number; readonly age: number };
}

export interface LoadedUplink {
  readonly name: string;
  readonly module: UplinkModule;
  readonly shared: UplinkShared;
  /** The module's own options, parsed. */
  readonly options: unknown;
}

/** A configuration without faults: what the composition root builds from. */
export interface LoadedConfig {
  /** As it was named by the caller. */
  readonly file: string;
  /** Absolute folder of the file; what relative paths in it start from. */
  readonly folder: string;
  /** The sections as they are written, with what profiles say filled in: what a reload compares. */
  readonly given: Readonly<Record<string, unknown>>;
  /** `dataDir` is absolute. */
  readonly gateway: GatewayOptions;
  readonly broker: BrokerOptions;
  readonly capture: CaptureOptions;
  readonly commands: CommandOptions;
  readonly recipes: readonly Recipe[];
  readonly queue: QueueOptions;
  readonly links: readonly LoadedLink[];
  readonly uplinks: readonly LoadedUplink[];
  readonly http: HttpOptions;
  readonly telemetry: TelemetryOptions;
  /** Which devices have tags from profiles. */
  readonly profiles: readonly UsedProfile[];
  readonly warnings: readonly Located[];
  /** Line and column of a key's value, or of the nearest thing around it. */
  position(path: Path): Position;
}
