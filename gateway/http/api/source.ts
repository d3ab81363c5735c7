import type {
  ConfigCheck,
  ConfigCompletion,
  ConfigDiff,
  ConfigView,
  DeviceView,
  HistoryView,
  Interpretations,
  LinkBrief,
  LinkView,
  LogsView,
  Overview,
  QueueView,
  ScanView,
  TagState,
  UplinkView,
  WriteView,
} from "./schemas.ts";

export type WriteValue = string | number | boolean;

/** Where a wizard looks: a link of the running configuration, or a device that nobody configured yet. */
export type Line = { readonly link: string } | { readonly tcp: { readonly host: string; readonly port: number } };

/** What the gateway knows and can do, as the API shows it; gateway.ts hands it over. What is not there is undefined. */
export interface ApiSource {
  readonly version: string;
  readonly gatewayId: string;
  overview(): Overview;
  links(): LinkBrief[];
  link(name: string): Promise<LinkView | undefined>;
  /** Frames held of a link, or those of the next `forMs`. @throws ConfigError at once. */
  record(link: string, forMs: number | undefined, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** A recording that was written after a fault, by its name in the list. */
  recording(link: string, file: string): Promise<AsyncIterable<Uint8Array> | undefined>;
  device(name: string): DeviceView | undefined;
  /** The present state of all tags of a device. */
  tags(device: string): TagState[] | undefined;
  /** Those of them that changed since the mark, and the next mark. */
  changed(device: string, since: number): { readonly tags: TagState[]; readonly mark: number };
  history(device: string, tag: string): HistoryView | undefined;
  /** @throws ConfigError, RejectedError, NotConnectedError, TimeoutError, UncertainWriteError. */
  write(
    device: string,
    values: Readonly<Record<string, WriteValue>>,
    by: string,
    signal: AbortSignal,
  ): Promise<WriteView | undefined>;
  queue(): Promise<QueueView>;
  /** Records as they lie in the queue. @throws ConfigError. */
  peek(
    query: {
      readonly uplink?: string;
      readonly stream?: "events" | "telemetry";
      readonly from?: number;
      readonly limit: number;
    },
    signal: AbortSignal,
  ): Promise<Record<string, unknown>[]>;
  deadLetters(uplink: string, limit: number): Promise<Record<string, unknown>[] | undefined>;
  uplink(name: string): Promise<UplinkView | undefined>;
  logs(query: { readonly after: number; readonly limit: number; readonly level: string }): LogsView;
  config(): Promise<ConfigView>;
  configSchema(): Record<string, unknown>;
  checkConfig(text: string): Promise<ConfigCheck>;
  completeConfig(text: string, offset: number): Promise<ConfigCompletion>;
  diffConfig(text: string): Promise<ConfigDiff>;
  /** Begins to ask the units of a line one after the other. @throws ConfigError: it is being scanned, or may not be. */
  scan(line: Line, units: readonly number[], timeoutMs: number | undefined): Promise<ScanView>;
  scanned(id: string): ScanView | undefined;
  stopScan(id: string): ScanView | undefined;
  /** Registers from an address on, and all that they can mean. @throws ConfigError, NotConnectedError. */
  interpret(
    line: Line,
    ask: { readonly unit: number; readonly address: string; readonly expect?: string; readonly samples: number },
    signal: AbortSignal,
  ): Promise<Interpretations>;
}
