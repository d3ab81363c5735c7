/** A file of an archive. */
export interface TarFile {
  /** ASCII, at most 100 characters, with `/` between folders. */
  readonly name: string;
  readonly content: Uint8Array;
}

const BLOCK = 512;
const FIELDS = [
  ["0000644", 8],
  ["0000000", 8],
  ["0000000", 8],
] as const;

/** A tar archive (POSIX.1-1988, ustar) of files that all were changed at `mtimeMs`, Unix milliseconds. @throws RangeError for a name. */
export function tar(files: readonly TarFile[], mtimeMs: number): Buffer {
  const blocks: Uint8Array[] = [];
  for (const { name, content } of files) {
    blocks.push(header(name, content.length, mtimeMs), content);
    const over = content.length % BLOCK;
    if (over > 0) blocks.push(Buffer.alloc(BLOCK - over));
  }
  // Two empty blocks end an archive.
  blocks.push(Buffer.alloc(2 * BLOCK));
  return Buffer.concat(blocks);
}

function header(name: string, size: number, mtimeMs: number): Buffer {
  if (!/^[\x21-\x7e]{1,100}$/.test(name))
    throw new RangeError(`"${name}" cannot be the name of a file in a tar archive`);
  const block = Buffer.alloc(BLOCK);
  let at = 0;
  const put = (text: string, length: number) => {
    block.write(text, at, "latin1");
    at += length;
  };
  put(name, 100);
  for (const [text, length] of FIELDS) put(text, length);
  put(octal(size, 11), 12);
  put(octal(Math.floor(mtimeMs / 1000), 11), 12);
  const sumAt = at;
  // The sum is made with blanks where it is going to stand.
  put(" ".repeat(8), 8);
  put("0", 1);
  at += 100;
  put("ustar", 6);
  put("00", 2);
  block.write(
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      6,
    )}\0 `,
    sumAt,
    "latin1",
  );
  return block;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}
