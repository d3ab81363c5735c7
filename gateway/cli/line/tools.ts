import type { LoadedConfig } from "../../config/types.ts";
import type { Clock } from "../../core/clock.ts";
import type { Device, DriverModule } from "../../core/driver.ts";
import type { LineShaper } from "./direct.ts";

/** What the commands that talk to lines are made of; line-tools.ts hands it over. */
export interface LineTools {
  /** The driver of lines that are named on the command line. */
  readonly modbus: DriverModule;
  readonly clock: Clock;
  /** Undefined for a device whose values are as its driver gives them. */
  readonly shaperOf: (device: Device) => LineShaper | undefined;
  /** The name of whoever runs this, for the log of a gateway. */
  readonly user: string;
  readonly load: (file: string, cwd: string) => Promise<LoadedConfig>;
  /** Whether a text is an address and not the name of a tag. */
  readonly isAddress: (text: string) => boolean;
  /** `count` addresses for values of a type, one after the other. @throws RangeError. */
  readonly placesOf: (address: string, type: string, count: number) => readonly string[];
  /** What an address holds where nobody says it: bool or uint16. @throws RangeError. */
  readonly typeAt: (address: string) => string;
  readonly scan: (linkOptions: unknown, options: ScanOptions, signal: AbortSignal) => Promise<ScanResult>;
  /** Milliseconds that a scan takes where nobody is there. */
  readonly scanMs: (linkOptions: unknown, units: number, patienceMs?: number) => number;
  /** What registers can mean, the likeliest first; all samples have one length. */
  readonly rank: (samples: readonly (readonly number[])[], options: RankOptions) => readonly Candidate[];
  /** The same place and its neighbours: one before, one behind, the other kind of registers. @throws RangeError. */
  readonly placesAround: (address: string) => Around;
}

/** A unit that a scan found. */
export interface FoundUnit {
  readonly unit: number;
  readonly answer: string;
  readonly objects: Readonly<Record<string, string>>;
  readonly serverId?: string;
  readonly running?: boolean;
}
export interface ScanOptions {
  readonly units: readonly number[];
  readonly patienceMs?: number;
  readonly thorough?: boolean;
  readonly identify?: boolean;
  readonly found: (unit: FoundUnit) => void;
  readonly progress: (done: number, total: number, unit: number) => void;
}
export interface ScanResult {
  readonly asked: number;
  readonly broken: readonly number[];
  readonly hungUp: readonly number[];
  readonly lost?: string;
}

export interface RankOptions {
  readonly expect?: string;
  readonly allPowers?: boolean;
}
export interface Candidate {
  readonly same: readonly { readonly type: string; readonly order: string; readonly bit?: number }[];
  readonly values: readonly (number | bigint | string)[];
  readonly bits: number;
  readonly fit?: { readonly power: number; readonly distance: number; readonly exact: boolean };
  readonly why: readonly string[];
}

export interface Around {
  readonly area: string;
  readonly index: number;
  /** Undefined where the area is one of bits. */
  readonly neighbours: readonly { readonly area: string; readonly index: number; readonly what: string }[] | undefined;
}
