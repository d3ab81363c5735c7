/** What a unit says it is. */
export interface Identity {
  /** Objects of function 43/14, by name; those of the maker's own as `object 128`. */
  readonly objects: Readonly<Record<string, string>>;
  /** Content of function 17, as text where it is one and else as hex. */
  readonly serverId?: string;
  /** The run indicator of function 17. */
  readonly running?: boolean;
}

/** MODBUS Application Protocol V1.1b3, 6.21. */
const NAMES: Readonly<Record<number, string>> = {
  0: "vendor",
  1: "product",
  2: "revision",
  3: "url",
  4: "productName",
  5: "model",
  6: "application",
};

export interface IdentityPart {
  readonly objects: readonly { readonly id: number; readonly value: string }[];
  /** The id to go on with; undefined where that was all. */
  readonly next: number | undefined;
  /** Whether there is more than the basic objects. */
  readonly regular: boolean;
}

/** Reads the body (unit, function, data) of an answer to function 43/14; undefined where it is none. */
export function identityIn(body: Buffer): IdentityPart | undefined {
  if (body.length < 8 || body[1] !== 43 || body[2] !== 14) return undefined;
  const objects: { id: number; value: string }[] = [];
  let at = 8;
  for (let count = body[7] ?? 0; count > 0; count--) {
    const id = body[at];
    const length = body[at + 1];
    if (id === undefined || length === undefined || at + 2 + length > body.length) return undefined;
    objects.push({ id, value: textOf(body.subarray(at + 2, at + 2 + length)) });
    at += 2 + length;
  }
  const more = body[5] === 0xff;
  return { objects, next: more ? body[6] : undefined, regular: ((body[4] ?? 0) & 0x7f) >= 2 };
}

export function nameOfObject(id: number): string {
  return NAMES[id] ?? `object ${id}`;
}

/**
 * Reads the body of an answer to function 17. The standard leaves the content to the maker; by custom it ends with the run
 * indicator, or has it behind one byte of id.
 */
export function serverIdIn(body: Buffer): Pick<Identity, "serverId" | "running"> | undefined {
  const length = body[2];
  if (body[1] !== 17 || length === undefined || body.length !== 3 + length) return undefined;
  const content = body.subarray(3);
  const at = isRun(content[1]) ? 1 : isRun(content[content.length - 1]) ? content.length - 1 : -1;
  if (at < 0) return { serverId: textOf(content) };
  const rest = at === 1 ? content.subarray(2) : content.subarray(0, at);
  const named = rest.length > 0 ? rest : content.subarray(0, 1);
  return { serverId: textOf(named), running: content[at] === 0xff };
}

function isRun(byte: number | undefined): boolean {
  return byte === 0 || byte === 0xff;
}

/** Text where all of it can be printed, but for zeros and blanks at its end; else hex. */
function textOf(bytes: Buffer): string {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 0 || bytes[end - 1] === 0x20)) end--;
  const content = bytes.subarray(0, end);
  const utf8 = content.toString("utf8");
  const isText = [...utf8].every((char) => char >= " " && char !== "\x7f" && char !== "\ufffd");
  return isText ? utf8 : bytes.toString("hex");
}
