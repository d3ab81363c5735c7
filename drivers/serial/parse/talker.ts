import type { Device, Tag } from "../../../gateway/core/driver.ts";
import { ConfigError, messageOf } from "../../../gateway/core/errors.ts";
import type { Sample } from "../../../gateway/core/sample.ts";
import { bytesOf } from "../bytes.ts";
import { type DeviceOptions, type LinkOptions, readDevice, readTag, type TagOptions } from "../options.ts";
import { type Fields, Parser, WHOLE_TEXT } from "./parser.ts";
import { readField } from "./value.ts";

export interface SpokenTag {
  readonly tag: Tag;
  readonly options: TagOptions;
  /** The field that holds it; undefined for one that is only written. */
  readonly field: string | undefined;
}

/** A device as this driver sees it: its options read, its parser made, each tag with its field. */
export class Talker {
  readonly device: Device;
  readonly options: DeviceOptions;
  readonly parser: Parser;
  readonly timeoutMs: number;
  readonly #tags = new WeakMap<Tag, SpokenTag>();

  /** @throws ConfigError naming the device. */
  constructor(device: Device, link: LinkOptions) {
    this.device = device;
    this.options = readDevice(device.options, device.name);
    this.timeoutMs = this.options.timeout ?? link.timeout;
    try {
      this.parser = new Parser(this.options.parse);
    } catch (error) {
      throw new ConfigError(`device "${device.name}": parse.pattern: ${messageOf(error)}`, { cause: error });
    }
  }

  /** @throws ConfigError naming the tag. */
  spoken(tag: Tag): SpokenTag {
    const known = this.#tags.get(tag);
    if (known) return known;
    const options = readTag(tag.options, tag.name);
    const spoken = { tag, options, field: fieldOf(options, tag.name, this.options.parse) };
    this.#tags.set(tag, spoken);
    return spoken;
  }

  /** What a tag is asked with; undefined for one that is listened for, or only written. */
  question(tag: Tag): Buffer | undefined {
    const { options, field } = this.spoken(tag);
    const ask = options.ask ?? this.options.ask;
    return field === undefined || ask === undefined ? undefined : bytesOf(ask);
  }

  /** One sample for each of the tags that is read. */
  samples(tags: readonly Tag[], fields: Fields, monoMs: number): Sample[] {
    return this.#read(tags).map(({ tag, options, field }) => {
      const found = fields(field);
      const unit = options.unitFrom && fields(options.unitFrom.field);
      const hex = this.options.parse.encoding === "hex" && options.type === "bytes";
      const outcome =
        found === undefined
          ? { reason: `no ${field} in the telegram` }
          : readField(found, hex ? { ...options, radix: 16 } : options, unit);
      if ("reason" in outcome) return { tag: tag.name, quality: "bad", reason: outcome.reason, monoMs };
      return { tag: tag.name, quality: "good", value: outcome.value, monoMs };
    });
  }

  bad(tags: readonly Tag[], reason: string, monoMs: number): Sample[] {
    return this.#read(tags).map(({ tag }) => ({ tag: tag.name, quality: "bad", reason, monoMs }));
  }

  #read(tags: readonly Tag[]): (SpokenTag & { readonly field: string })[] {
    return tags.flatMap((tag) => {
      const { field, ...rest } = this.spoken(tag);
      return field === undefined ? [] : [{ ...rest, field }];
    });
  }
}

/** The field of a tag; undefined for one that is only written. */
export function fieldOf(
  options: Pick<TagOptions, "field" | "write">,
  name: string,
  parse: DeviceOptions["parse"],
): string | undefined {
  if (options.field !== undefined) return options.field;
  if (options.write !== undefined) return undefined;
  return parse.pattern === undefined && !parse.columns && !parse.json ? WHOLE_TEXT : name;
}
