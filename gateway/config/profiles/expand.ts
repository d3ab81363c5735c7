import { relative } from "node:path";
import { profileKeys, profileShape } from "../../core/options/profile.ts";
import { isRecord } from "../explain.ts";
import { ConfigFaults, type Faults, type Path, pathText } from "../faults.ts";
import { parseWith } from "../sections.ts";
import { hint } from "../suggest.ts";
import { type Layer, layerOf, unknownParameters } from "./layers.ts";
import { findProfile, listProfiles, type Shelf, shelvesOf } from "./library.ts";
import type { Mounts } from "./mounts.ts";
import { NAMED_LISTS, type Profile, readProfile } from "./profile-file.ts";

/** A profile that a device uses. */
export interface UsedProfile {
  /** Name of the device's link. */
  readonly link: string;
  readonly device: string;
  readonly profile: string;
  /** Beside the configuration, or among those of the product. */
  readonly origin: Shelf["origin"];
  /** As it is named in messages. */
  readonly file: string;
  /** Tags that the device has from it, and tags it offers. */
  readonly tags: number;
  readonly of: number;
}

export interface ExpandContext {
  /** Folder of the configuration. */
  readonly folder: string;
  readonly faults: Faults;
  readonly mounts: Mounts;
}

/** Reads each profile once. */
class Reader {
  readonly #context: ExpandContext;
  readonly #shelves: Promise<Shelf[]>;
  readonly #read = new Map<string, Profile>();

  constructor(context: ExpandContext) {
    this.#context = context;
    this.#shelves = shelvesOf(context.folder);
  }

  /** Undefined after faults were added. */
  async read(name: string, device: string, path: Path): Promise<Profile | undefined> {
    const known = this.#read.get(name);
    if (known) return known;
    const profile = await this.#take(name, device, path);
    // One that is not there is told of for each device.
    if (profile) this.#read.set(name, profile);
    return profile;
  }

  async #take(name: string, device: string, path: Path): Promise<Profile | undefined> {
    const { faults, folder } = this.#context;
    const shelves = await this.#shelves;
    const found = await findProfile(name, shelves);
    if (!found) {
      const names = (await listProfiles(shelves)).map((profile) => profile.name);
      const meant = hint(name, names);
      const cure = meant.startsWith("; did") ? meant : '; see "millrace profile list"';
      faults.add(path, `there is no profile "${name}", neither in profiles/ nor in the library${cure}`);
      return undefined;
    }
    const shown = found.origin === "configuration" ? relative(folder, found.file) : found.file;
    try {
      return await readProfile(found, shown);
    } catch (error) {
      if (!(error instanceof ConfigFaults)) throw error;
      for (const fault of error.faults) faults.addElsewhere(path, { ...fault, usedBy: [device] });
      return undefined;
    }
  }
}

/**
 * Puts the tags and keys of profiles into the devices that name them; what the device says itself counts more. Devices
 * without a profile stay as they are. Faults are added; a device with a fault of its profile keeps its own keys.
 */
export async function expandProfiles(
  links: unknown,
  context: ExpandContext,
): Promise<{ readonly links: unknown; readonly used: readonly UsedProfile[] }> {
  if (!Array.isArray(links)) return { links, used: [] };
  const reader = new Reader(context);
  const used: UsedProfile[] = [];
  const expanded: unknown[] = [];
  for (const [i, link] of links.entries()) {
    if (!isRecord(link) || !Array.isArray(link["devices"])) {
      expanded.push(link);
      continue;
    }
    const devices: unknown[] = [];
    for (const [j, device] of link["devices"].entries()) {
      const path = ["links", i, "devices", j];
      devices.push(isRecord(device) ? await expandDevice(device, link, path, reader, context, used) : device);
    }
    expanded.push({ ...link, devices });
  }
  return { links: expanded, used };
}

async function expandDevice(
  raw: Record<string, unknown>,
  link: Record<string, unknown>,
  path: Path,
  reader: Reader,
  context: ExpandContext,
  used: UsedProfile[],
): Promise<Record<string, unknown>> {
  const { faults } = context;
  const entries = Object.entries(raw);
  const own = Object.fromEntries(entries.filter(([key]) => !(key in profileShape)));
  const about = Object.fromEntries(entries.filter(([key]) => key in profileShape));
  const wanted = parseWith(profileKeys, about, path, faults);
  // Without its profile it may have no tags, for which it is not to blame.
  if (Object.keys(about).length > 0) faults.excuse(path, "tags");
  if (wanted === undefined) return own;
  if (wanted.profile === undefined) {
    for (const key of Object.keys(about))
      faults.addKey(path, key, `"${key}" needs a profile: add "profile: vendor/model"`);
    return own;
  }
  const name = typeof raw["name"] === "string" ? raw["name"] : pathText(path);
  const profiles: Profile[] = [];
  const names = typeof wanted.profile === "string" ? [wanted.profile] : wanted.profile;
  for (const [index, profileName] of names.entries()) {
    const at = [...path, "profile", ...(typeof wanted.profile === "string" ? [] : [index])];
    const profile = await reader.read(profileName, name, at);
    if (profile === undefined) return own;
    if (profile.driver !== undefined && link["driver"] !== profile.driver) {
      faults.add(at, `${profileName} is for driver ${profile.driver}, and this link has ${String(link["driver"])}`);
      return own;
    }
    profiles.push(profile);
  }
  const parameters = wanted.parameters ?? {};
  const before = faults.count;
  for (const { name: parameter, message } of unknownParameters(parameters, profiles))
    faults.addKey([...path, "parameters"], parameter, message);
  const layers = profiles.flatMap((profile) => layerIn(profile, parameters, name, path, faults) ?? []);
  if (faults.count > before) return own;
  const joined = new Joined(path, name, context);
  for (const layer of layers) joined.add(layer);
  joined.choose(wanted.only, wanted.except, (key, index, message) => faults.add([...path, key, index], message));
  for (const { profile } of layers) used.push({ link: String(link["name"]), ...joined.use(profile) });
  return joined.with(own);
}

function layerIn(
  profile: Profile,
  parameters: Readonly<Record<string, number | string | boolean>>,
  device: string,
  path: Path,
  faults: Faults,
): Layer | undefined {
  return layerOf(profile, parameters, (inside, message, parameter) => {
    if (inside === undefined) {
      const at = parameter === undefined ? [...path, "profile"] : [...path, "parameters", parameter];
      faults.add(at, parameter === undefined ? `${message} (parameters: { … })` : message);
      return;
    }
    const { line, column } = profile.locate(inside);
    const usedBy = [device];
    faults.addElsewhere(path, { file: profile.shown, line, column, path: pathText(inside), message, usedBy });
  });
}

/** Where a key of an entry comes from: a profile, or undefined for the device itself. */
interface Source {
  readonly profile?: Profile;
  readonly path: Path;
}

interface Item {
  value: unknown;
  readonly source: Source;
  /** Keys that were written elsewhere than the rest. */
  readonly overrides: Map<string, Source>;
}

/** The keys and lists of several profiles and the device, one over the other. */
class Joined {
  readonly #path: Path;
  readonly #device: string;
  readonly #mounts: Mounts;
  readonly #keys: Record<string, unknown> = {};
  readonly #lists: Record<(typeof NAMED_LISTS)[number], Item[]> = { tags: [], derived: [] };
  readonly #offered = new Map<Profile, number>();

  constructor(path: Path, device: string, { mounts }: ExpandContext) {
    this.#path = path;
    this.#device = device;
    this.#mounts = mounts;
  }

  add({ profile, keys, lists }: Layer): void {
    for (const [key, value] of Object.entries(keys)) {
      this.#keys[key] = bothLists(this.#keys[key], value);
      this.#mount([...this.#path, key], { profile, path: [key] });
    }
    for (const list of NAMED_LISTS) {
      for (const { value, path } of lists[list]) this.#put(list, value, { profile, path });
    }
    this.#offered.set(profile, lists.tags.length);
  }

  choose(
    only: readonly string[] | undefined,
    except: readonly string[] | undefined,
    fault: (key: "only" | "except", index: number, message: string) => void,
  ): void {
    const names = this.#lists.tags.map(nameOf);
    let known = true;
    for (const [key, patterns = []] of [["only", only] as const, ["except", except] as const]) {
      for (const [index, pattern] of patterns.entries()) {
        if (names.some((name) => matches(pattern, name))) continue;
        known = false;
        fault(key, index, `the profile has no tag "${pattern}"${hint(pattern, names)}`);
      }
    }
    if (!known) return;
    const stays = (item: Item): boolean => {
      const name = nameOf(item);
      const chosen = only === undefined || only.some((pattern) => matches(pattern, name));
      return chosen && !(except ?? []).some((pattern) => matches(pattern, name));
    };
    this.#lists.tags = this.#lists.tags.filter(stays);
  }

  use(profile: Profile): Omit<UsedProfile, "link"> {
    const tags = this.#lists.tags.filter(({ source }) => source.profile === profile).length;
    const { name, origin, shown } = profile;
    return { device: this.#device, profile: name, origin, file: shown, tags, of: this.#offered.get(profile) ?? 0 };
  }

  /** The device as if somebody had written all of it. */
  with(own: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const device: Record<string, unknown> = { ...this.#keys };
    for (const [key, value] of Object.entries(own)) {
      if (NAMED_LISTS.some((list) => list === key) && Array.isArray(value)) continue;
      device[key] = value;
      this.#mount([...this.#path, key], { path: [...this.#path, key] });
    }
    for (const list of NAMED_LISTS) {
      const entries = own[list];
      for (const [index, value] of (Array.isArray(entries) ? entries : []).entries()) {
        this.#put(list, value, { path: [...this.#path, list, index] });
      }
      if (list in own && !Array.isArray(entries)) continue;
      if (list === "derived" && this.#lists.derived.length === 0 && !(list in own)) continue;
      device[list] = this.#lists[list].map(({ value }) => value);
      for (const [index, item] of this.#lists[list].entries()) this.#mountItem([...this.#path, list, index], item);
    }
    return device;
  }

  #put(list: (typeof NAMED_LISTS)[number], value: unknown, source: Source): void {
    const name = isRecord(value) ? value["name"] : undefined;
    const known = this.#lists[list].find((item) => typeof name === "string" && nameOf(item) === name);
    // Two of one name in one place are a fault, to be told by whoever reads the device.
    const isOther = known && known.source.profile !== source.profile;
    if (!isOther || !isRecord(value) || !isRecord(known.value)) {
      this.#lists[list].push({ value, source, overrides: new Map() });
      return;
    }
    known.value = { ...known.value, ...value };
    for (const key of Object.keys(value)) known.overrides.set(key, { ...source, path: [...source.path, key] });
  }

  #mountItem(path: Path, { source, overrides }: Item): void {
    this.#mount(path, source);
    for (const [key, override] of overrides) this.#mount([...path, key], override);
  }

  #mount(path: Path, { profile, path: origin }: Source): void {
    const elsewhere = profile && { file: profile.shown, locate: profile.locate, usedBy: this.#device };
    this.#mounts.add(path, { path: origin, ...elsewhere });
  }
}

function nameOf({ value }: Pick<Item, "value">): string {
  const name = isRecord(value) ? value["name"] : undefined;
  return typeof name === "string" ? name : "";
}

function matches(pattern: string, name: string): boolean {
  const [first = "", ...parts] = pattern.split("*");
  const last = parts.pop();
  if (last === undefined) return name === pattern;
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false;
  let at = first.length;
  const end = name.length - last.length;
  for (const part of parts) {
    const found = name.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}

/** Lists of texts, such as holes, add up; anything else is replaced. */
function bothLists(before: unknown, after: unknown): unknown {
  const areTexts = (value: unknown): value is string[] =>
    Array.isArray(value) && value.every((item) => typeof item === "string");
  return areTexts(before) && areTexts(after) ? [...new Set([...before, ...after])] : after;
}
